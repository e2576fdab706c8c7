r"""Numbers as they are written out: 1,234.5, 1e-05, \frac12, 3 1/2, 0.\overline{3}, 5:2; with units, \$ or a name.

A numeral is evaluated if there is nothing left to compute: a decimal, a power of ten, or a quotient in lowest terms.
12+34 and 84/4 are not.
"""

import math
import re
from fractions import Fraction
from typing import NamedTuple

from afterbase.verify.mathematics.algebra import Arithmetic, NoValueError, TooLargeError, UndecidedError, constant
from afterbase.verify.mathematics.formula import REPEATING, decimal, repeating, value
from afterbase.verify.mathematics.quantities import RADIAN, Unit, alike
from afterbase.verify.mathematics.sides import is_name, split
from afterbase.verify.mathematics.spelling import spelled
from afterbase.verify.mathematics.units import measured, read_as_unit, summed


class Numeral(NamedTuple):
    """A written number: its value, and whether it is evaluated; percent, unit, and the letter that it is said of."""

    value: Fraction
    evaluated: bool
    percent: bool
    unit: Unit | None = None
    letter: str | None = None


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_PLAIN = re.compile(rf"({_DIGITS})(?:[eE]([-+]?\d+))?|(0,\d+)", re.ASCII)
_SCIENTIFIC = re.compile(
    rf"(?:({_DIGITS})\s*(?:\\cdot|\*|x)\s*)?10\s*\^\s*(?:\{{\s*([-+]?\d+)\s*\}}|([-+]?\d+))", re.ASCII
)
_ARGUMENT = r"\s*(?:\{\s*([-+]?)\s*(\d+)\s*\}|()(\d))"
_QUOTIENT = re.compile(
    rf"(?:(\d+)\s*(?=\\frac))?\\frac{_ARGUMENT}{_ARGUMENT}|(?:(\d+)(?:\s+|-))?(\d+)\s*[/:]\s*([-+]?)\s*(\d+)", re.ASCII
)
_REPEATING = re.compile(REPEATING, re.ASCII)
_BRACKETED = re.compile(r"\(\s*([-+]?[\d.]+)\s*\)|\{\s*([-+]?[\d.,]+)\s*\}")  # (0,5) is a point
_NEAR = Fraction(1, 100)


def numeral(text: str, like: Unit | None = None) -> Numeral | None:
    """The number that an answer is; None if it is none, or says two different ones.

    A single letter at the end is a unit where it measures what `like` does: 5 m.
    """
    parts, signs = split(spelled(text), "=", r"\approx")
    if len(parts) == 1:
        return _one(parts[0], like)
    if is_name(parts[-1]) and signs[-1] == "=" and any(sign.isdigit() for sign in parts[0]):
        parts.reverse()  # 5 = x
    last = _one(parts[-1], like)
    if last is None or any(not _agrees(part, sign, last) for part, sign in zip(parts, signs, strict=False)):
        return None
    letter = parts[0].strip()
    return last._replace(letter=letter) if len(letter) == 1 and letter.isalpha() else last


def _agrees(part: str, sign: str, last: Numeral) -> bool:
    """Whether what stands before the number is a name, or a formula of that worth: 2 + 3 = 5, but not 4 = 5."""
    if is_name(part):
        return True
    try:
        worth = constant(value(measured(part).text, Arithmetic()))
    except (NoValueError, TooLargeError, UndecidedError):
        return False
    if worth is None:
        return False
    return worth == last.value or (sign != "=" and abs(worth - last.value) <= _NEAR * abs(last.value))


def equal(right: Numeral, got: Numeral) -> bool:
    """Whether they are worth the same; 20% is 20 and 0.2, where the right answer does not say percent itself."""
    if right.letter and got.letter and right.letter != got.letter:
        return False
    if (right.percent and got.unit) or (got.percent and right.unit):
        return False
    a, b = right.value, got.value
    if right.unit and got.unit and right.unit != got.unit:
        same_kind = alike(right.unit, got.unit)
        if same_kind is False or (same_kind and RADIAN in (right.unit, got.unit)):
            return False  # pi is in one of the two
        if same_kind:
            a, b = (one.value * one.unit.size + one.unit.zero for one in (right, got) if one.unit)
    return a == b or (got.percent and not right.percent and b == 100 * a)


def _one(text: str, like: Unit | None) -> Numeral | None:
    if (parts := summed(text)) is not None:  # 6 feet 2 inches
        first = parts[0][1]
        return Numeral(sum((decimal(n) * unit.size / first.size for n, unit in parts), Fraction(0)), True, False, first)
    said = measured(text)
    bare, unit = said.text.strip(), said.unit
    if like is not None and unit is None and (letter := read_as_unit(bare)) is not None and alike(letter[1], like):
        bare, unit = letter
    bracketed = _BRACKETED.fullmatch(bare)
    if bracketed:
        bare = bracketed[1] or bracketed[2]
    sign = -1 if bare.startswith("-") else 1
    try:
        read = _unsigned(bare[1:].lstrip() if bare[:1] in ("-", "+") else bare)
    except TooLargeError:
        return None
    if read is None:
        return None
    number, evaluated = read
    return Numeral(sign * number * said.factor, evaluated, said.percent, unit)


def _unsigned(text: str) -> tuple[Fraction, bool] | None:
    found = _PLAIN.fullmatch(text)
    if found:
        digits, exponent, comma = found.groups()
        if comma:
            return Fraction(comma.replace(",", ".")), True
        return decimal(digits.replace(",", "") + (f"e{exponent}" if exponent else "")), True
    if (found := _SCIENTIFIC.fullmatch(text)) is not None:
        return decimal(f"{(found[1] or '1').replace(',', '')}e{found[2] or found[3]}"), True
    if _REPEATING.fullmatch(text):
        return repeating(text), True
    if (found := _QUOTIENT.fullmatch(text)) is None:
        return None
    signs = [found[2], found[6], found[12]]
    whole, above, below = (
        int(next((group for group in groups if group), 0))
        for groups in ((found[1], found[10]), (found[3], found[5], found[11]), (found[7], found[9], found[13]))
    )
    if below == 0 or (whole and (above >= below or "-" in signs)):
        return None
    number = Fraction(-above if signs.count("-") == 1 else above, below)
    return whole + number, below > 1 and math.gcd(above, below) == 1
