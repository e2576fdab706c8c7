"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168): 1,319 word problems of primary school, whole numbers as answers.

Not in the report's table of chat models; put without examples, as MATH-500 is.
"""

from random import Random

from pydantic import BaseModel, field_validator

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.mathematics.boxed import item, whole
from afterbase.eval.tasks.mathematics.gsm8k_twins import other_names, other_number
from afterbase.eval.tasks.task import Item, Task, reworded
from afterbase.verify import maths

SOURCE = Source(
    file="gsm8k.jsonl",
    hub="openai/gsm8k",
    config="main",
    split="test",
    revision="740312add88f781978c0658806c59bc2815b9866",
)
_MARK = "####"


class Row(BaseModel):
    """A question, and a solution that ends in its number behind four number signs."""

    question: str
    answer: str

    @field_validator("answer")
    @classmethod
    def _ends_in_number(cls, answer: str) -> str:
        if maths.number(answer.rpartition(_MARK)[2]) is None:
            raise ValueError(f"a solution ends in `{_MARK} ` and a number")
        return answer

    @property
    def gold(self) -> str:
        return self.answer.rpartition(_MARK)[2].strip().replace(",", "")


def _renamed(original: Item, random: Random) -> Item | None:
    question = other_names(original.question, random)
    return None if question is None else item(original.id, question, original.gold)


def _renumbered(original: Item, random: Random) -> Item | None:
    changed = other_number(original.question, original.gold.solution, random)
    return None if changed is None else item(original.id, changed.question, changed.answer)


class _Solved(str):
    """A right answer that remembers how it was found."""

    solution: str


def items(folder: Folder) -> list[Item]:
    made = []
    for place, row in enumerate(folder.rows(SOURCE, Row)):
        gold = _Solved(row.gold)
        gold.solution = row.answer
        made.append(item(str(place), row.question, gold))
    return made


TASK = Task(
    title="GSM8K",
    sources=(SOURCE,),
    licence="MIT",
    metric="accuracy",
    items=items,
    score=whole,
    sees_context=True,
    twins={"names": _renamed, "numbers": _renumbered, "words": reworded},
)
