r"""Multiple choice: how the options are listed, and which letter a response chooses.

A letter is taken from, in this order, the last `\boxed{...}`, the last phrase that names the answer ("answer is",
"Answer:", 答案是, 故选), and lines that begin with a letter as the options do, if they all begin with the same one.
A response that names none is wrong, not guessed at.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from afterbase.eval.tasks.task import Answered, Item, Mark
from afterbase.verify.extract import last_boxed

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_KEYWORD = (
    r"(?:(?i:\b(?:answer|choice|option)s?(?:\s+(?:is|was|(?:would|should|must|will)\s+be))?)"
    r"|答案|正确选项|正确的是|[故应]?选择?)"
)
_FILLER = (
    r"(?:[\s:：=*_\"'“”‘’（()）\[\]{}$\\]|(?i:\b(?:is|the|option|choice|letter|text|boxed|correct)\b)|[为是应该项])*"
)
# "The answer is A good idea" and "Answer: I think" choose nothing; "the answer is A because" does.
_WORD = r"(?!\s+(?!(?i:because|since|as|and|which|for|due|is|with|by)\b)[a-z])"
_CAPITAL = rf"(?:([B-HJ-Z])|([AI]){_WORD})(?![A-Za-z0-9'’])"
_SMALL = r"\(([a-z])\)|([a-z])(?=[.)*]*\s*(?:\n|$))"
_NAMED = re.compile(f"{_KEYWORD}{_FILLER}(?:{_CAPITAL}|{_SMALL})")
_LISTED = re.compile(r"^[\s*_>#-]*\(?([A-Z])(?:[).:：、]|\s*$|\*)", re.MULTILINE)
_IN_BOX = re.compile(r"(?:\\(?:text|mathrm|mathbf|textbf)\s*\{)?\s*\(?([A-Za-z])\)?\s*\}?\s*(?:$|[.:)、\s])")


class Choice(NamedTuple):
    """A question with its options, and the place of the right one."""

    question: str
    options: tuple[str, ...]
    right: int

    @property
    def letter(self) -> str:
        return LETTERS[self.right]


def listed(options: Sequence[str], form: str = "{}) {}") -> str:
    """The options, a line each, behind their letters."""
    return "\n".join(form.format(letter, option) for letter, option in zip(LETTERS, options, strict=False))


def chosen(response: str, letters: str) -> str | None:
    """The letter that a response chooses, one of `letters`; None where it names none."""
    box = last_boxed(response)
    in_box = _IN_BOX.match(box) if box is not None else None
    if in_box is not None and in_box.group(1).upper() in letters:
        return in_box.group(1).upper()
    named = [next(g for g in found.groups() if g).upper() for found in _NAMED.finditer(response)]
    named = [letter for letter in named if letter in letters]
    if named:
        return named[-1]
    begun = {letter for letter in _LISTED.findall(response) if letter in letters}
    return begun.pop() if len(begun) == 1 else None


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
