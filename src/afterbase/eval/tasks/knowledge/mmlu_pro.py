"""MMLU-Pro (Wang et al. 2024, arXiv 2406.01574): 12,032 questions with up to ten options, step by step.

The creators' chain finds the letter: the first "answer is (X)", else the last "Answer: X" of the first line that has
one. Where it finds none, their leaderboard adds a random guess; here such an answer is wrong. Their five examples a
category are a source of their own: without that file the question is put without examples.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Sequence

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.multiple_choice import LETTERS, Choice, item_of, listed, scored, twin
from afterbase.eval.tasks.task import Item, Task, reworded

_REVISION = "b189ec765aa7ed75c8acfea42df31fdae71f97be"
SOURCE = Source(file="mmlu_pro.jsonl", hub="TIGER-Lab/MMLU-Pro", split="test", revision=_REVISION)
EXAMPLES = Source(file="mmlu_pro_validation.jsonl", hub="TIGER-Lab/MMLU-Pro", split="validation", revision=_REVISION)
_SHOTS = 5
_TASK = (
    "These are multiple choice questions{about}, with their answers. Think step by step, and end with the sentence "
    '"the answer is (X)", where X is the letter of the right option.\n\n'
)
_FIRST = re.compile(r"answer is \(?([A-J])\)?")
_SECOND = re.compile(r".*[aA]nswer:\s*([A-J])")


class Row(BaseModel):
    """A question of the test or validation split; the latter has a worked answer."""

    question_id: int | str
    question: str
    options: list[str]
    answer_index: int
    category: str
    cot_content: str = ""


def letter(response: str, letters: str) -> str | None:
    """The letter by the creators' chain, without its last, random step."""
    found = _FIRST.search(response) or _SECOND.search(response)
    return found.group(1) if found is not None else None


def _question(choice: Choice) -> str:
    return f"Question: {choice.question.strip()}\nOptions:\n{listed(choice.options, '{}. {}')}\n"


def item(name: str, choice: Choice, *, head: str) -> Item:
    prompt = f"{head}{_question(choice)}Answer: Let's think step by step."
    return item_of(name, prompt, choice, f"I know this one. The answer is ({choice.letter}).")


def _choice(row: Row) -> Choice:
    return Choice(row.question, tuple(option for option in row.options if option != "N/A"), row.answer_index)


def _heads(folder: Folder) -> dict[str, str]:
    """What stands before a question, by category."""
    heads: dict[str, str] = defaultdict(lambda: _TASK.format(about=""))
    if folder.missing(EXAMPLES) is not None:
        return heads
    by_category: dict[str, list[Row]] = defaultdict(list)
    for row in folder.rows(EXAMPLES, Row):
        by_category[row.category].append(row)
    for category, rows in by_category.items():
        heads[category] = _TASK.format(about=f" about {category}") + "".join(map(_worked, rows[:_SHOTS]))
    return heads


def _remark(folder: Folder) -> str | None:
    lack = folder.missing(EXAMPLES)
    return None if lack is None else f"put without the protocol's five examples: {lack}"


def _worked(row: Row) -> str:
    thought = row.cot_content.removeprefix("A:").strip() or f"The answer is ({LETTERS[row.answer_index]})."
    return f"{_question(_choice(row))}Answer: {thought}\n\n"


def items(folder: Folder) -> list[Item]:
    heads = _heads(folder)
    return [item(str(row.question_id), _choice(row), head=heads[row.category]) for row in folder.rows(SOURCE, Row)]


def _rebuilt(original: Item) -> functools.partial[Item]:
    head: Sequence[str] = original.prompt.rpartition(_question(original.gold))
    return functools.partial(item, head=head[0])


TASK = Task(
    title="MMLU-Pro",
    sources=(SOURCE,),
    licence="MIT",
    metric="exact_match",
    items=items,
    score=functools.partial(scored, extract=letter),
    remark=_remark,
    twins={"options": lambda original, random: twin(_rebuilt(original))(original, random), "words": reworded},
)
