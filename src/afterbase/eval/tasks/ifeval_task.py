"""IFEval (Zhou et al. 2023, arXiv 2311.07911): 541 prompts with instructions that a rule can check.

The report: prompt-level, strict; every instruction of a prompt has to be followed. The prompt is not changed.
"""

from typing import Any

from pydantic import BaseModel, Field

from afterbase.core.errors import missing_modules
from afterbase.core.sample import Status
from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.verify.ifeval.follow import check_ifeval

SOURCE = Source(file="ifeval.jsonl", hub="google/IFEval", split="train")


class Row(BaseModel):
    """A prompt with the ids of its instructions and the arguments of each."""

    key: int | str
    prompt: str
    instruction_id_list: list[str] = Field(min_length=1)
    kwargs: list[dict[str, Any]]


def items(folder: Folder) -> list[Item]:
    made = []
    for row in folder.rows(SOURCE, Row):
        pairs = zip(row.instruction_id_list, row.kwargs, strict=True)
        instructions = [{"id": name, "kwargs": _arguments(kwargs, name, row.prompt)} for name, kwargs in pairs]
        made.append(Item(id=str(row.key), prompt=row.prompt, question=row.prompt, gold={"instructions": instructions}))
    return made


def _arguments(kwargs: dict[str, Any], name: str, prompt: str) -> dict[str, Any]:
    given = {key: value for key, value in kwargs.items() if value is not None}
    return {"prompt_to_repeat": prompt, **given} if name == "combination:repeat_prompt" else given


def score(answered: Answered) -> list[Mark]:
    marks = []
    for item, response in answered:
        verdict = check_ifeval(response=response, spec=item.gold)
        marks.append(Mark(verdict.value, None, verdict.reason, failed=verdict.status is Status.FAILED))
    return marks


def needs() -> str | None:
    """What instructions are checked with."""
    return f"{', '.join(missing)} (pip install 'afterbase[ifeval]')" if (missing := missing_modules("ifeval")) else None


TASK = Task(
    title="IFEval",
    sources=(SOURCE,),
    licence="Apache-2.0",
    metric="prompt_strict",
    items=items,
    score=score,
    needs=needs,
)
