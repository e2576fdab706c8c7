"""MMLU (Hendrycks et al. 2021, arXiv 2009.03300): 14,042 questions of 57 subjects, four options.

The report's protocol is simple-evals: no examples, the model reasons, the last line names the letter.
"""

from typing import Any

from pydantic import BaseModel, model_validator

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.multiple_choice import Choice, item_of, listed, place_of, scored, twin
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(
    file="mmlu_test.jsonl",
    hub="cais/mmlu",
    config="all",
    split="test",
    revision="c30699e8356da336a370243923dbaf21066bb9fe",
)
_PROMPT = """Here is a multiple choice question. Think it through step by step. Then write a last line of the form \
'Answer: X' (without quotes), where X is the letter of the one right option, from A to D.

{question}

{options}"""


class Row(BaseModel):
    """As in the original files (A, B, C, D and a letter) or on the hub (choices and an index)."""

    question: str
    options: tuple[str, str, str, str]
    right: int
    subject: str = ""

    @model_validator(mode="before")
    @classmethod
    def _either(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        options: Any = row["choices"] if "choices" in row else [row.get(letter) for letter in "ABCD"]
        if None in options or "answer" not in row:
            raise ValueError("an MMLU row has question, A, B, C, D, answer, or else question, choices, answer")
        answer = row["answer"]
        right = place_of(answer, options, "answer") if isinstance(answer, str) else answer
        if not 0 <= right < len(options):
            raise ValueError(f"the answer {right} is none of {len(options)} options")
        return {**row, "options": options, "right": right}


def item(name: str, choice: Choice) -> Item:
    prompt = _PROMPT.format(question=choice.question.strip(), options=listed(choice.options))
    return item_of(name, prompt, choice, f"I know this one.\nAnswer: {choice.letter}")


def items(folder: Folder) -> list[Item]:
    rows = folder.rows(SOURCE, Row)
    return [item(str(place), Choice(row.question, row.options, row.right)) for place, row in enumerate(rows)]


TASK = Task(
    title="MMLU",
    sources=(SOURCE,),
    licence="MIT",
    metric="exact_match",
    items=items,
    score=scored,
    twins={"options": twin(item), "words": reworded},
)
