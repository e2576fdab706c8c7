"""CNMO 2024: the Chinese National High School Mathematics Olympiad, in Chinese.

The report: temperature 0.7, the mean of 16 runs. Which edition of the problems it used is not said; ours is that of
LiveMathBench.
"""

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.mathematics.boxed import ASK_IN_CHINESE, any_form, item
from afterbase.eval.tasks.task import Item, Task

SOURCE = Source(file="cnmo2024.jsonl", hub="opencompass/LiveMathBench", config="v202412_CNMO_cn", split="test")


class Row(BaseModel):
    """A problem with its final answer in LaTeX."""

    question: str
    answer: str


def items(folder: Folder) -> list[Item]:
    rows = folder.rows(SOURCE, Row)
    return [item(str(place), row.question, row.answer, ask=ASK_IN_CHINESE) for place, row in enumerate(rows)]


TASK = Task(
    title="CNMO 2024",
    sources=(SOURCE,),
    licence="CC BY 4.0 (LiveMathBench)",
    metric="pass@1",
    items=items,
    score=any_form,
    sees_context=True,
    temperature=0.7,
    runs=16,
)
