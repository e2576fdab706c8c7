"""From judged answers to numbers, and the file of a benchmark's result, which `afterbase eval compare` reads.

Accuracy never stands alone: the mean length and the share of answers that were cut off are beside it.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from afterbase.core.errors import UserError
from afterbase.core.faults import first_fault
from afterbase.core.intervals import Interval, wilson
from afterbase.core.reasoning import UNFINISHED
from afterbase.core.row_files import json_fault
from afterbase.core.store import write_atomically
from afterbase.eval.statistics import bootstrap_mean, clustered_wilson, majority_at_k, paired_bootstrap, pass_at_k
from afterbase.eval.tasks.code.harness import Harness
from afterbase.eval.tasks.task import Item, Mark, Task

_SEED = 0  # of the bootstrap: the same rows give the same interval


class Row(BaseModel):
    """One judged answer; `digest` is that of the question, `value` in [0, 1], `tokens` of the answer where known."""

    id: str
    digest: str
    run: int
    value: float
    answer: str | None
    reason: str
    failed: bool
    tokens: int | None
    truncated: bool | None
    too_long: bool
    text: str
    contaminated: bool | None = None
    """Whether the model was trained on the question; None where nothing is known of its training."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A question, its answer's row, and the mark."""

    item: Item
    mark: Mark
    row: Row


class Gap(BaseModel):
    """How much higher a benchmark's score is than its twin's on the same `n` questions, in percent, with p."""

    value: float
    low: float
    high: float
    p: float
    n: int


class Contaminated(BaseModel):
    """How many questions the model was trained on, and the score in percent without them; None if none are left."""

    n: int
    value: float | None
    low: float | None
    high: float | None


class Result(BaseModel):
    """What is printed of a benchmark: scores in percent with a 95 % interval, questions, tokens, a share of 1.

    Lengths are None where a harness does not tell them; a twin has the gap to its benchmark; contamination is None
    where nothing is known of the model's training.
    """

    metric: str
    value: float
    low: float
    high: float
    n: int
    mean_tokens: float | None
    truncated_share: float | None
    gap: Gap | None = None
    contaminated: Contaminated | None = None


class Evaluated(BaseModel):
    """The file of a benchmark's result: who, what, how, the numbers, and every answer."""

    task: str
    model: str
    digest: str | None
    licence: str
    settings: dict[str, Any]
    result: Result
    more: dict[str, Any]
    rows: list[Row]


def summarise(task: Task, judged: Sequence[Judged]) -> tuple[Result, dict[str, Any]]:
    """The numbers of one benchmark, and more: runs, failures, pass@k, maj@k.

    The value is that of the answers that could be judged; the interval holds whatever the others would have made of it.

    Raises UserError where no answer could be judged: there is no number then.
    """
    known = [j for j in judged if not j.mark.failed]
    if not known:
        raise UserError(
            f"some answer to {task.title} can be judged",
            got=f"none of {len(judged)}; the first: {judged[0].mark.reason if judged else 'no question'}",
            remedy="look at the judge's replies or the verifier in the answers that were kept",
        )
    values = _by_cluster(task, known)
    runs = max(j.row.run for j in judged) + 1
    share = float(np.mean([np.mean(v) for v in values]))
    low, high = interval(values)
    if len(known) < len(judged):  # whatever the others are worth, the interval holds it
        low = min(low, interval(_by_cluster(task, _failed_as(judged, 0.0))).low)
        high = max(high, interval(_by_cluster(task, _failed_as(judged, 1.0))).high)
    result = Result(
        metric=task.metric,
        value=_percent(share),
        low=_percent(low),
        high=_percent(high),
        n=len(values),
        mean_tokens=round(float(np.mean([j.row.tokens or 0 for j in judged])), 2),
        truncated_share=round(float(np.mean([bool(j.row.truncated) for j in judged])), 4),
        contaminated=_contamination(task, known),
    )
    more: dict[str, Any] = {
        "runs": runs,
        "failed": len(judged) - len(known),
        "too_long": sum(j.row.too_long for j in judged),
        "no_answer": sum(j.mark.reason == "no_answer" for j in known),
    }
    if unfinished := sum(j.mark.reason == UNFINISHED for j in known):  # of models that think alone
        more["unfinished"] = unfinished
    if runs > 1 and task.collect is None:
        more |= _repeated(known, runs)
    return result, more


def _contamination(task: Task, known: Sequence[Judged]) -> Contaminated | None:
    """None where nothing is known of the training."""
    if any(j.row.contaminated is None for j in known):
        return None
    clean = _by_cluster(task, [j for j in known if not j.row.contaminated])
    n = len(_by_cluster(task, [j for j in known if j.row.contaminated]))
    if not clean:
        return Contaminated(n=n, value=None, low=None, high=None)
    low, high = interval(clean)
    value = _percent(float(np.mean([np.mean(v) for v in clean])))
    return Contaminated(n=n, value=value, low=_percent(low), high=_percent(high))


def summarise_harness(harness: Harness, values: Mapping[str, float]) -> tuple[Result, list[Row]]:
    """The numbers of a benchmark that is run by its own program, from the value of each question."""
    if not values:
        raise UserError(
            f"the harness of {harness.title} reports on some question",
            got="none",
            remedy="see harness.log in the folder of results",
        )
    low, high = interval([[value] for value in values.values()])
    result = Result(
        metric=harness.metric,
        value=_percent(float(np.mean(list(values.values())))),
        low=_percent(low),
        high=_percent(high),
        n=len(values),
        mean_tokens=None,
        truncated_share=None,
    )
    rows = [
        Row(id=name, digest=name, run=0, value=value, answer=None, reason="", failed=False, tokens=None, truncated=None,
            too_long=False, text="")
        for name, value in values.items()
    ]  # fmt: skip
    return result, rows


def gap(judged: Sequence[Judged], twins: Sequence[Judged]) -> Gap | None:
    """The benchmark's score less its twin's, paired by question; None where no pair could be judged."""
    original, twin = _by_item(judged), _by_item(twins)
    both = [name for name in original if name in twin]
    if not both:
        return None
    difference = paired_bootstrap(
        {name: twin[name] for name in both}, {name: original[name] for name in both}, seed=_SEED
    )
    low, high = _percent(difference.low), _percent(difference.high)
    return Gap(value=_percent(difference.difference), low=low, high=high, p=round(difference.p, 6), n=len(both))


def _by_item(judged: Sequence[Judged]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for j in judged:
        if not j.mark.failed:
            values[j.item.id].append(j.mark.value)
    return {name: float(np.mean(marks)) for name, marks in values.items()}


def interval(values: Sequence[Sequence[float]]) -> Interval:
    """95 %: Wilson for one 0/1 answer a question, its clustered form for several, a bootstrap for partial credits."""
    flat = [value for cluster in values for value in cluster]
    share = float(np.mean([np.mean(v) for v in values]))
    if all(value in (0.0, 1.0) for value in flat):
        return clustered_wilson(values)
    return wilson(share * len(values), len(values)) if len(values) < 2 else bootstrap_mean(values, seed=_SEED)


def _by_cluster(task: Task, judged: Sequence[Judged]) -> list[list[float]]:
    """The values of each unit, units in the order of their first question."""
    groups: dict[tuple[str, int], list[Judged]] = defaultdict(list)
    for j in judged:
        name = j.item.cluster or j.item.id
        groups[(name, j.row.run if task.collect is not None else 0)].append(j)
    values: dict[str, list[float]] = defaultdict(list)
    for (name, _), group in groups.items():
        if task.collect is not None:
            values[name].append(task.collect(name, [(j.item, j.mark) for j in group]))
        else:
            values[name] += [j.mark.value for j in group]
    return list(values.values())


def _failed_as(judged: Sequence[Judged], value: float) -> list[Judged]:
    """All answers, those that could not be judged with this value."""
    return [replace(j, mark=j.mark._replace(value=value)) if j.mark.failed else j for j in judged]


def _repeated(judged: Sequence[Judged], runs: int) -> dict[str, Any]:
    """pass@k and maj@k for k = 1, 2, 4, ... and all runs; `cons` is maj@k of all runs."""
    by_item: dict[str, list[Judged]] = defaultdict(list)
    for j in sorted(judged, key=lambda j: j.row.run):
        by_item[j.item.id].append(j)
    whole = [group for group in by_item.values() if len(group) == runs]
    ks = sorted({2**i for i in range(runs.bit_length())} | {runs})
    if not whole or any(j.mark.value not in (0.0, 1.0) for j in judged):
        return {}
    more: dict[str, Any] = {
        "pass_at": {
            k: _scored([pass_at_k(runs, sum(j.mark.value == 1 for j in group), k) for group in whole]) for k in ks
        }
    }
    if any(j.mark.answer is not None for j in judged):
        more["maj_at"] = {
            k: _scored([majority_at_k([j.mark.answer for j in g], [j.mark.value == 1 for j in g], k) for g in whole])
            for k in ks
        }
        more["cons"] = more["maj_at"][runs]
    return more


def _scored(values: Sequence[float]) -> dict[str, float]:
    low, high = interval([[value] for value in values])
    return {"value": _percent(float(np.mean(values))), "low": _percent(low), "high": _percent(high)}


def _percent(share: float) -> float:
    return round(100 * share, 4)


def write(folder: Path, name: str, evaluated: Evaluated) -> None:
    """NAME.json in the folder of a model's results."""
    write_atomically(folder / f"{name}.json", (evaluated.model_dump_json(indent=1) + "\n").encode())


def read(folder: Path) -> dict[str, Evaluated]:
    """All results in a folder, by name; UserError where there is none or a file is something else."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            found[path.stem] = Evaluated.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, RecursionError) as error:
            fault = ": ".join(first_fault(error)) if isinstance(error, ValidationError) else json_fault(error)
            raise UserError(
                "a folder of results holds what `afterbase eval` wrote",
                got=f"{path}: {fault}",
                remedy="name such a folder, or evaluate again",
            ) from None
    if not found:
        raise UserError(
            "a result is a folder that `afterbase eval` wrote",
            got=f"no result in {folder}",
            remedy="run `afterbase eval MODEL --tasks ... --out FOLDER` first",
        )
    return found
