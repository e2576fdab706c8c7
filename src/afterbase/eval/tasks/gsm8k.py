"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168): 1,319 word problems of primary school, whole numbers as answers.

Not in the report's table of chat models; put without examples, as MATH-500 is.
"""

from pydantic import BaseModel, field_validator

from afterbase.eval.tasks.mathematics import item, whole
from afterbase.eval.tasks.sources import Folder, Source
from afterbase.eval.tasks.task import Item, Task
from afterbase.verify import maths

SOURCE = Source(file="gsm8k.jsonl", hub="openai/gsm8k", config="main", split="test")
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


def items(folder: Folder) -> list[Item]:
    rows = folder.rows(SOURCE, Row)
    return [item(str(place), row.question, row.gold) for place, row in enumerate(rows)]


TASK = Task(
    title="GSM8K",
    sources=(SOURCE,),
    licence="MIT",
    metric="accuracy",
    items=items,
    score=whole,
)
