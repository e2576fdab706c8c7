"""SimpleQA (Wei et al. 2024, arXiv 2411.04368): 4,326 short questions of fact; a judge compares.

The report: the share of correct answers. The question is not changed.
"""

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.judged_answers import JUDGING, item
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(file="simpleqa.jsonl", hub="basicv8vc/SimpleQA", split="test")


class Row(BaseModel):
    """A question with its answer."""

    problem: str
    answer: str


def items(folder: Folder) -> list[Item]:
    return [item(str(place), row.problem, row.answer) for place, row in enumerate(folder.rows(SOURCE, Row))]


TASK = Task(
    title="SimpleQA",
    sources=(SOURCE,),
    licence="MIT",
    metric="correct",
    items=items,
    score=JUDGING,
    twins={"words": reworded},
)
