"""DROP (Dua et al. 2019, arXiv 1903.00161): questions on a passage that ask to count, add, compare and find.

The report: F1 with three examples, simple-evals' protocol. The examples are the first three of the training split, so
that every model sees the same ones (simple-evals draws others for each question).
"""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, model_validator

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.verify.drop import best_score

SOURCE = Source(file="drop.jsonl", hub="ucinlp/drop", split="validation")
EXAMPLES = Source(file="drop_train.jsonl", hub="ucinlp/drop", split="train")
_SHOTS = 3
_HEAD = """Read the passage and answer the question about it. Three examples come first, then your question.

"""
_TAIL = (
    """Think step by step. Then write a last line of the form "Answer: X", where X is your answer and nothing else."""
)
_ANSWER = re.compile(r"Answer\s*:\s*([^\n]+)", re.IGNORECASE)


class Row(BaseModel):
    """As in simple-evals' files (context, ref_text; several right answers behind bars) or on the hub."""

    passage: str
    question: str = ""
    golds: list[str] = Field(min_length=1)
    query_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _either(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        if "context" in row:
            golds = str(row.get("ref_text", "")).split("|")
            row = {**row, "passage": row["context"]}
        else:
            # The hub's spans are one person's each; several spans of a person are one answer, which text cannot tell.
            golds = list((row.get("answers_spans") or {}).get("spans", []))
        return {**row, "golds": [gold for gold in golds if gold.strip()]}

    @property
    def asked(self) -> str:
        return f"Passage: {self.passage.strip()}\nQuestion: {self.question.strip()}" if self.question else self.passage


def items(folder: Folder) -> list[Item]:
    examples = folder.rows(EXAMPLES, Row)[:_SHOTS]
    shown = "\n\n".join(f"{row.asked}\nAnswer: {row.golds[0]}" for row in examples)
    made = []
    for place, row in enumerate(folder.rows(SOURCE, Row)):
        prompt = f"{_HEAD}{shown}\n\nYour question\n{row.asked}\n\n{_TAIL}"
        right = f"It is in the passage.\nAnswer: {row.golds[0]}"
        made.append(Item(id=row.query_id or str(place), prompt=prompt, question=row.asked, gold=row.golds, right=right))
    return made


def score(answered: Answered) -> list[Mark]:
    """F1 in [0, 1]; the reason is `match` where the answer is exactly right."""
    marks = []
    for item, response in answered:
        said: Sequence[str] = _ANSWER.findall(response)
        answer = said[-1].strip() if said else response.strip()
        em, f1 = best_score(answer, item.gold)
        marks.append(Mark(f1 / 100, answer, "match" if em else "mismatch"))
    return marks


TASK = Task(
    title="DROP",
    sources=(SOURCE, EXAMPLES),
    licence="CC BY-SA 4.0",
    metric="f1",
    items=items,
    score=score,
)
