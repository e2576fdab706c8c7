"""Chinese SimpleQA (He et al. 2024, arXiv 2411.07140): 3,000 short questions of fact in Chinese; a judge compares."""

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.judged_answers import JUDGING, item
from afterbase.eval.tasks.task import Item, Task

SOURCE = Source(file="chinese_simpleqa.jsonl", hub="OpenStellarTeam/Chinese-SimpleQA", split="train")


class Row(BaseModel):
    """A question with its answer."""

    id: str
    question: str
    answer: str


def items(folder: Folder) -> list[Item]:
    return [item(row.id, row.question, row.answer) for row in folder.rows(SOURCE, Row)]


TASK = Task(
    title="C-SimpleQA",
    sources=(SOURCE,),
    licence="MIT (its README)",
    metric="correct",
    items=items,
    score=JUDGING,
)
