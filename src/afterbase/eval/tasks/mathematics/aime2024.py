"""AIME 2024: the 30 problems of both papers, answers from 0 to 999.

The report: temperature 0.7, the mean of 16 runs.
"""

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.mathematics.boxed import item, whole
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(file="aime2024.jsonl", hub="HuggingFaceH4/aime_2024", split="train")


class Row(BaseModel):
    """A problem with its answer in three digits."""

    id: int | str
    problem: str
    answer: str


def items(folder: Folder) -> list[Item]:
    return [item(str(row.id), row.problem, row.answer) for row in folder.rows(SOURCE, Row)]


TASK = Task(
    title="AIME 2024",
    sources=(SOURCE,),
    licence="problems (c) MAA, for evaluation",
    metric="pass@1",
    items=items,
    score=whole,
    sees_context=True,
    temperature=0.7,
    runs=16,
    twins={"words": reworded},
)
