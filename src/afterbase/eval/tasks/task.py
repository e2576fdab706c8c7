"""What a benchmark is to us: where its questions come from, how they are put, and what marks an answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.paraphrase import paraphrase
from afterbase.eval.tasks.benchmark_rows import Folder, Source

Row = TypeVar("Row", bound=BaseModel)
TOKENS = 8192  # the report's limit on answers (section 5.3)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question as one user turn; `gold` is what the scorer needs, `right` an answer that earns the full mark.

    `question` is what the benchmark itself says, without our wording, options and examples. Items with the same
    `cluster` are one unit to the statistics; an item without is a unit of its own.
    """

    id: str
    prompt: str
    question: str
    gold: Any
    right: str | None = None
    cluster: str | None = None


class Mark(NamedTuple):
    """What an answer earned, in [0, 1], and why; `answer` as extracted, in one form, for votes.

    `failed`: nobody can tell what it is worth, for a fault that is not the answer's; such answers are in no number.
    """

    value: float
    answer: str | None
    reason: str
    failed: bool = False


Twin = Callable[[Item, Random], Item | None]
Answered = Sequence[tuple[Item, str]]


@dataclass(frozen=True, kw_only=True)
class Judging:
    """A judge decides: what it is asked about an answer, and the mark that its reply amounts to."""

    question: Callable[[Item, str], str]
    mark: Callable[[str], Mark]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One benchmark. `temperature` 0 is greedy; `runs` answers a question; lengths in tokens.

    `needs` says, before anything is computed, what is missing on this machine; None if nothing is. `twins` are rules by
    name that give the same question in other clothes, or None where the rule does not apply. `remark` is what has
    to be said of a number from this folder. `collect` turns the marks of a cluster into its value, where that is no
    mean.
    """

    title: str
    sources: tuple[Source, ...]
    licence: str
    metric: str
    items: Callable[[Folder], list[Item]]
    score: Callable[..., list[Mark]] | Judging
    sees_context: bool = False
    temperature: float = 0.0
    runs: int = 1
    max_tokens: int = TOKENS
    needs: Callable[[], str | None] = lambda: None
    twins: Mapping[str, Twin] = field(default_factory=dict)
    remark: Callable[[Folder], str | None] = lambda _: None
    collect: Callable[[str, Sequence[tuple[Item, Mark]]], float] | None = None


def reworded(item: Item, _: Random) -> Item | None:
    """The rule "other words": the same question by `eval/benchmarks/paraphrase.py`; None where no rule of it
    applies."""
    said = paraphrase(item.question)
    if said is None or item.prompt.count(item.question) != 1:
        return None
    return replace(item, prompt=item.prompt.replace(item.question, said), question=said)


def refuse_repeated(items: Sequence[Item], title: str) -> list[Item]:
    """The items as they are; UserError where two have one id, since differences are paired by it."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise UserError(
                f"every question of {title} has an id of its own",
                got=f"`{item.id}` twice",
                remedy="take the second one out of the file",
            )
        seen.add(item.id)
    return list(items)
