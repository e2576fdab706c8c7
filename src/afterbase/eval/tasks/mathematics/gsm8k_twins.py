"""Word problems in another form: other names, or another number with the answer computed again.

A number is changed only where the solution's own steps say what follows from it: each step in its double angle brackets
has to be arithmetic that comes out as written, the number has to stand once in the question and once in the steps, and
nothing in the steps may be both a number of the question and the result of an earlier step. The new number keeps its
place among the others in size, and every step stays whole and positive where it was. All else gives no twin.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import NamedTuple

from afterbase.verify.mathematics import formula
from afterbase.verify.mathematics.algebra import Arithmetic, NoValueError, TooLargeError, UndecidedError, constant

# Women's on the first line, men's on the second; none that is a word as well.
_NAMES = [line.split() for line in Path(__file__).with_name("first_names.txt").read_text().splitlines()]
_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_STEP = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|\.\d+")
_NO_ARITHMETIC = re.compile(r"\*\*|//|[\d.)]\s*\(|\)\s*[\d.]|[\d.]\s+[\d.]")  # powers, and products without a sign
_ARITHMETIC = re.compile(r"[\d.,+*/() -]+")


class Worded(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


def other_names(question: str, random: Random) -> str | None:
    """The question with every first name that we know changed for another one of the same list."""
    changes: dict[str, str] = {}
    for names in _NAMES:
        used = [name for name in names if re.search(rf"\b{name}\b", question)]
        free = [name for name in names if name not in used]
        changes |= dict(zip(used, random.sample(free, len(used)), strict=True))
    if not changes:
        return None
    return re.sub(rf"\b(?:{'|'.join(changes)})\b", lambda found: changes[found.group()], question)


def other_number(question: str, solution: str, random: Random) -> Worded | None:
    """The question with one number changed, and the answer that follows from the solution's steps."""
    steps = [(expression.strip(), _value(result.strip())) for expression, result in _STEP.findall(solution)]
    final = _value(solution.rpartition("####")[2].strip())
    if not steps or final is None or steps[-1][1] != final or not _consistent(question, steps):
        return None
    candidates = [found for found in _NUMBER.finditer(question) if _may_change(found, question, steps)]
    random.shuffle(candidates)
    for found in candidates:
        old = int(found.group())
        spread = max(2, old // 4)
        values = [new for new in range(max(2, old - spread), old + spread + 1) if _fits(new, old, question, steps)]
        random.shuffle(values)
        for new in values:
            answer = _recomputed(steps, Fraction(old), Fraction(new))
            if answer is not None and answer != final:
                return Worded(f"{question[: found.start()]}{new}{question[found.end() :]}", str(answer))
    return None


def _value(text: str) -> Fraction | None:
    return Fraction(text.replace(",", "")) if _NUMBER.fullmatch(text) else None


def _numbers(text: str) -> list[Fraction]:
    return [Fraction(found.replace(",", "")) for found in _NUMBER.findall(text)]


def _consistent(question: str, steps: Sequence[tuple[str, Fraction | None]]) -> bool:
    """Whether every step comes out as written, and no literal may be a result as well as a number of the question."""
    given, results = set(_numbers(question)), set()
    for expression, result in steps:
        if result is None or _evaluated(expression, {}) != result or result in results:
            return False
        if any(number in results and number in given for number in _numbers(expression)):
            return False
        results.add(result)
    return True


def _may_change(found: re.Match[str], question: str, steps: Sequence[tuple[str, Fraction | None]]) -> bool:
    """Whether a number is whole, stands once in the question in any spelling, and once in the steps."""
    text, value = found.group(), Fraction(found.group().replace(",", ""))
    before, after = question[: found.start()][-1:], question[found.end() :][:1]
    if not text.isdecimal() or value < 3 or before in tuple("/.:-") or after in tuple("/:%"):
        return False
    if value < len(_WORDS) and re.search(rf"\b{_WORDS[int(value)]}\b", question, re.IGNORECASE):
        return False
    used = [number for expression, _ in steps for number in _numbers(expression)]
    return _numbers(question).count(value) == used.count(value) == 1 and all(value != result for _, result in steps)


def _fits(new: int, old: int, question: str, steps: Sequence[tuple[str, Fraction | None]]) -> bool:
    """Whether the new number is new, and as large among those of the question as the old one."""
    numbers = _numbers(question)
    taken = {*numbers, *(number for expression, _ in steps for number in _numbers(expression))}
    others = [number for number in numbers if number != old]
    return new not in taken and all((new > other) == (old > other) for other in others)


def _recomputed(steps: Sequence[tuple[str, Fraction | None]], old: Fraction, new: Fraction) -> Fraction | None:
    """The last step's result, with `new` for `old` and what follows from it; None where a step is odd then."""
    changed, results = {old: new}, set()
    for expression, result in steps:
        assert result is not None
        again = _evaluated(expression, changed)
        if again is None or again in results or (again <= 0) != (result <= 0):
            return None
        if (again.denominator == 1) != (result.denominator == 1):
            return None
        changed[result] = again
        results.add(again)
    return changed[steps[-1][1]] if steps[-1][1] is not None and changed[steps[-1][1]].denominator == 1 else None


def _evaluated(expression: str, changed: Mapping[Fraction, Fraction]) -> Fraction | None:
    """The exact value of sums, products and quotients; None for anything else."""
    if not _ARITHMETIC.fullmatch(expression) or _NO_ARITHMETIC.search(expression):
        return None

    def exact(found: re.Match[str]) -> str:
        value = Fraction(found.group().replace(",", ""))
        value = changed.get(value, value)
        return f"({value.numerator}/{value.denominator})"

    try:
        return constant(formula.value(_NUMBER.sub(exact, expression), Arithmetic()))
    except (NoValueError, TooLargeError, UndecidedError):
        return None
