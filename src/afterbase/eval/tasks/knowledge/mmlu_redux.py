"""MMLU-Redux (Gema et al. 2024, arXiv 2406.04127): 5,700 questions of MMLU, looked at again by people.

The report's protocol is zero-eval: no examples, a JSON object with the reasoning first and the letter after it. As
there, questions are left out that people found to have no single right option, and a wrong label is corrected where
they gave the right one.
"""

import ast
import functools
import re
from typing import Any

from pydantic import BaseModel, model_validator

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.multiple_choice import Choice, chosen, item_of, listed, scored, twin
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(file="mmlu_redux.jsonl", hub="edinburgh-dawg/mmlu-redux", split="test")
_PROMPT = """Answer this multiple choice question.

{question}

{options}

Reply with nothing but a JSON object of this form:
{{"reasoning": "your reasoning, step by step", "answer": "the letter of the one right option"}}"""
_IN_JSON = re.compile(r"[\"']?answer[\"']?\s*:\s*[\"'(\[\s]*([A-Za-z])\b", re.IGNORECASE)
_HEAD = "question;choices;answer;error_type;source;correct_answer;potential_reason"
_LINE = re.compile(r"(.*);(\[.*\]);(\d+);([^;]*);(.*);([^;]*);([^;]*)", re.DOTALL)
_GOOD = ("ok", "expert")  # `expert`: only somebody who knows the field can tell, and one has


class Row(BaseModel):
    """As in the repository's CSV files, whose semicolon-separated ones come as one column, or as on the hub."""

    question: str
    choices: list[str]
    answer: int
    error_type: str
    correct_answer: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        if _HEAD in row:  # read with commas, which cut the line into one named column and a rest
            line = ",".join([row[_HEAD], *(row.get("null") or [])])
            cut = _LINE.fullmatch(line)
            row = dict(zip(_HEAD.split(";"), cut.groups(), strict=True)) if cut is not None else row
        if isinstance(row.get("choices"), str):
            row = {**row, "choices": ast.literal_eval(row["choices"])}
        corrected = row.get("correct_answer")
        return {**row, "correct_answer": None if corrected is None else str(corrected)}

    @property
    def right(self) -> int | None:
        """The place of the right option; None where there is no single one."""
        kind = self.error_type.strip().lower().replace("_", " ")
        place: int | None = self.answer if kind in _GOOD else None
        if kind == "wrong groundtruth":
            given = (self.correct_answer or "").strip()
            named = [i for i, option in enumerate(self.choices) if option.strip() == given]
            place = int(given) if given.isdecimal() else named[0] if len(named) == 1 else None
            if place is None and len(given) == 1 and given.upper() in "ABCD":
                place = "ABCD".index(given.upper())
        return place if place is not None and 0 <= place < len(self.choices) else None


def letter(response: str, letters: str) -> str | None:
    """The letter in the JSON object; in words where there is none."""
    given = [found.upper() for found in _IN_JSON.findall(response) if found.upper() in letters]
    return given[-1] if given else chosen(response, letters)


def item(name: str, choice: Choice) -> Item:
    prompt = _PROMPT.format(question=choice.question.strip(), options=listed(choice.options, "- {}) {}"))
    right = f'{{"reasoning": "I know this one.", "answer": "{choice.letter}"}}'
    return item_of(name, prompt, choice, right)


def items(folder: Folder) -> list[Item]:
    return [
        item(str(place), Choice(row.question, tuple(row.choices), row.right))
        for place, row in enumerate(folder.rows(SOURCE, Row))
        if row.right is not None
    ]


TASK = Task(
    title="MMLU-Redux",
    sources=(SOURCE,),
    licence="CC BY 4.0",
    metric="exact_match",
    items=items,
    score=functools.partial(scored, extract=letter),
    twins={"options": twin(item), "words": reworded},
)
