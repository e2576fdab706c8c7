"""LongBench v2 (Bai et al. 2024, arXiv 2412.15204): 503 questions of four options on texts of 8k to 2M words.

No examples and no reasoning asked for, as the creators do first. They cut the middle out of a text that is too long for
a model; here such a question has no answer, and a message says so.
"""

from random import Random
from typing import Literal

from pydantic import BaseModel, Field

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.multiple_choice import Choice, item_of, listed, scored, twin
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(file="longbench_v2.jsonl", hub="THUDM/LongBench-v2", split="train")
_PROMPT = """Read the text, and answer the question about it.

<text>
{text}
</text>

Question: {question}
{options}

Reply in this form: "The correct answer is (X)", where X is the letter of the right option."""


class Row(BaseModel):
    """A text with a question and its four options."""

    name: str = Field(alias="_id")
    context: str
    question: str
    choice_A: str
    choice_B: str
    choice_C: str
    choice_D: str
    answer: Literal["A", "B", "C", "D"]


def item(name: str, choice: Choice, *, text: str) -> Item:
    prompt = _PROMPT.format(
        text=text.strip(), question=choice.question.strip(), options=listed(choice.options, "({}) {}")
    )
    return item_of(name, prompt, choice, f"The correct answer is ({choice.letter})")


def items(folder: Folder) -> list[Item]:
    return [
        item(
            row.name,
            Choice(row.question, (row.choice_A, row.choice_B, row.choice_C, row.choice_D), "ABCD".index(row.answer)),
            text=row.context,
        )
        for row in folder.rows(SOURCE, Row)
    ]


def _twin(original: Item, random: Random) -> Item | None:
    text = original.prompt.partition("<text>\n")[2].partition("\n</text>")[0]
    return twin(lambda name, choice: item(name, choice, text=text))(original, random)


TASK = Task(
    title="LongBench v2",
    sources=(SOURCE,),
    licence="Apache-2.0",
    metric="accuracy",
    items=items,
    score=scored,
    twins={"options": _twin, "words": reworded},
)
