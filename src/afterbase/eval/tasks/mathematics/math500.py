"""MATH-500: 500 problems of MATH (Hendrycks et al. 2021), the split of Lightman et al. (arXiv 2305.20050).

The report: greedy decoding.
"""

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.mathematics.boxed import any_form, item
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(
    file="math500.jsonl",
    hub="HuggingFaceH4/MATH-500",
    split="test",
    revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
)


class Row(BaseModel):
    """A problem with its final answer in LaTeX."""

    problem: str
    answer: str
    unique_id: str


def items(folder: Folder) -> list[Item]:
    return [item(row.unique_id, row.problem, row.answer) for row in folder.rows(SOURCE, Row)]


TASK = Task(
    title="MATH-500",
    sources=(SOURCE,),
    licence="MIT",
    metric="accuracy",
    items=items,
    score=any_form,
    sees_context=True,
    twins={"words": reworded},
)
