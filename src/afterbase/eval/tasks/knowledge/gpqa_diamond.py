"""GPQA-Diamond (Rein et al. 2023, arXiv 2311.12022): 198 questions of natural science that experts agree on.

The report: simple-evals, as MMLU. The order of the options is drawn once for each question, by its id. The authors ask
that no question be published in plain text; the hub asks for consent.
"""

import random

from pydantic import BaseModel, Field

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge import mmlu
from afterbase.eval.tasks.knowledge.multiple_choice import Choice, scored, twin
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(file="gpqa_diamond.jsonl", hub="Idavidrein/gpqa", config="gpqa_diamond", split="train")


class Row(BaseModel):
    """A question with its right answer and three wrong ones."""

    question: str = Field(alias="Question")
    right: str = Field(alias="Correct Answer")
    wrong_1: str = Field(alias="Incorrect Answer 1")
    wrong_2: str = Field(alias="Incorrect Answer 2")
    wrong_3: str = Field(alias="Incorrect Answer 3")
    name: str = Field(alias="Record ID")


def items(folder: Folder) -> list[Item]:
    made = []
    for row in folder.rows(SOURCE, Row):
        options = [option.strip() for option in (row.right, row.wrong_1, row.wrong_2, row.wrong_3)]
        order = random.Random(row.name).sample(range(4), 4)
        choice = Choice(row.question, tuple(options[i] for i in order), order.index(0))
        made.append(mmlu.item(row.name, choice))
    return made


TASK = Task(
    title="GPQA-Diamond",
    sources=(SOURCE,),
    licence="CC BY 4.0",
    metric="pass@1",
    items=items,
    score=scored,
    twins={"options": twin(mmlu.item), "words": reworded},
)
