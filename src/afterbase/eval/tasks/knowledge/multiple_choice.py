"""Multiple choice: how the options are listed, and which letter a response chooses (`verify/choice_letters.py`).

A response that names none, or several, is wrong, not guessed at.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from afterbase.eval.tasks.task import Answered, Item, Mark
from afterbase.verify.choice_letters import chosen as letters_chosen

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Choice(NamedTuple):
    """A question with its options, and the place of the right one."""

    question: str
    options: tuple[str, ...]
    right: int

    @property
    def letter(self) -> str:
        return LETTERS[self.right]


def item_of(name: str, prompt: str, choice: Choice, right: str) -> Item:
    """The item of a question; `right` is a response that names the right letter."""
    return Item(id=name, prompt=prompt, question=choice.question.strip(), gold=choice, right=right)


def listed(options: Sequence[str], form: str = "{}) {}") -> str:
    """The options, a line each, behind their letters."""
    return "\n".join(form.format(letter, option) for letter, option in zip(LETTERS, options, strict=False))


def chosen(response: str, letters: str) -> str | None:
    """The letter that a response chooses, one of `letters`; None where it names none, or several."""
    named = letters_chosen(response, letters)
    return named.pop() if len(named) == 1 else None


def scored(answered: Answered, extract: Callable[[str, str], str | None] = chosen) -> list[Mark]:
    """1 for the right letter; the gold of an item is a `Choice`."""
    marks = []
    for item, response in answered:
        letter = extract(response, LETTERS[: len(item.gold.options)])
        right = letter == item.gold.letter
        marks.append(Mark(float(right), letter, "match" if right else "no_answer" if letter is None else "mismatch"))
    return marks


def place_of(letter: str, options: Sequence[str], where: str) -> int:
    """The place of an answer letter. Raises ValueError, which names `where`, for a letter without an option."""
    place = LETTERS.find(letter.strip().upper())
    if not 0 <= place < len(options) or len(letter.strip()) != 1:
        raise ValueError(f"{where}: the answer {letter!r} is none of {len(options)} options")
    return place


# An option that speaks of others by letter or place means something else once they have moved.
_ANCHORED = re.compile(
    r"\b(?:all|none|both|neither|any|either|each)\b.*\b(?:above|below|these|those|preceding)\b"
    r"|\b(?:both|neither|either)\b.*\b[A-J]\b|^\W*[A-J]\W*(?:and|or|&|,)\W*[A-J]\b|\babove\b|以上|均|都[对错是不]|[A-J]和[A-J]",
    re.IGNORECASE,
)


def reordered(choice: Choice, random: Random) -> Choice | None:
    """The same options in another order, the right one in another place; None where an option speaks of others."""
    if any(_ANCHORED.search(option) for option in choice.options) or len(choice.options) < 2:
        return None
    order = list(range(len(choice.options)))
    while order[choice.right] == choice.right:
        random.shuffle(order)
    return Choice(choice.question, tuple(choice.options[i] for i in order), order.index(choice.right))


def twin(build: Callable[[str, Choice], Item]) -> Callable[[Item, Random], Item | None]:
    """The rule "other order of the options", for a task whose items `build` makes."""

    def other(item: Item, random: Random) -> Item | None:
        choice = reordered(item.gold, random)
        return None if choice is None else build(item.id, choice)

    return other
