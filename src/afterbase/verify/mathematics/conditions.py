r"""Conditions on one letter as the real numbers that meet them: 2x < 6, 3 \geq x, x \neq 2, |x - 1| < 2."""

from typing import NamedTuple

from afterbase.verify.mathematics.algebra import Arithmetic, Quotient, is_number, rational, symbol, whole
from afterbase.verify.mathematics.nearness import real
from afterbase.verify.mathematics.regions import (
    INFINITY,
    MINUS_INFINITY,
    Bound,
    Interval,
    Region,
    complement,
    intersection,
    union,
)

MIRRORED = {"<": ">", ">": "<", r"\leq": r"\geq", r"\geq": r"\leq", r"\neq": r"\neq"}


class Condition(NamedTuple):
    """The letter, and where it may lie."""

    letter: str
    region: Region


class _Change(NamedTuple):
    """A condition that is linear in its letter changes at a bound; `flipped` if the letter's factor is negative."""

    letter: str
    bound: Bound
    flipped: bool


def condition(left: Quotient, sign: str, right: Quotient, arithmetic: Arithmetic) -> Condition | None:
    """None for what is neither linear in one letter nor the size of what is."""
    change = _linear(left, right, arithmetic)
    if change is None:
        return _within(left, sign, right, arithmetic) or _within(right, MIRRORED[sign], left, arithmetic)
    bound = change.bound
    sign = MIRRORED[sign] if change.flipped else sign
    if sign == r"\neq":
        return Condition(change.letter, complement((Interval(bound, bound, False, False),)))
    is_open = sign in ("<", ">") or bound.exact is None
    if sign in ("<", r"\leq"):
        return Condition(change.letter, union([Interval(MINUS_INFINITY, bound, True, is_open)]))
    return Condition(change.letter, union([Interval(bound, INFINITY, is_open, True)]))


def infinite(value: Quotient) -> Bound | None:
    if value == symbol(r"\infty"):
        return INFINITY
    return MINUS_INFINITY if value.above == {((r"\infty", 1),): -1} else None


def _within(inner: Quotient, sign: str, bound: Quotient, a: Arithmetic) -> Condition | None:
    """|x - 1| < 2 is -2 < x - 1 < 2, and |x - 1| > 2 one or the other."""
    names = [name for product in inner.above for name, _ in product]
    name = names[0] if len(names) == 1 else ""
    atom = a.atoms.get(name)
    if atom is None or atom.name != "abs" or inner != symbol(name) or real(bound, a) is None:
        return None
    (argument,) = atom.arguments
    least = condition(a.negated(bound), sign, argument, a)
    most = condition(argument, sign, bound, a)
    if least is None or most is None:
        return None
    if sign in (">", r"\geq"):
        return Condition(most.letter, union([*least.region, *most.region]))
    return Condition(most.letter, intersection(least.region, most.region))


def _linear(left: Quotient, right: Quotient, a: Arithmetic) -> _Change | None:
    for one, other, flip in ((left, right, False), (right, left, True)):
        end = infinite(other)
        ((product, _),) = one.above.items() if len(one.above) == 1 else [((), 0)]
        if end is not None and len(product) == 1 and one == symbol(product[0][0]):
            return _Change(product[0][0], end, flip)
    terms = a.difference(left, right)
    if left.below != rational(1).below or right.below != rational(1).below:
        return None
    letters = {atom for product in terms for atom, _ in product if not is_number(atom)}
    letters -= a.atoms.keys()
    if len(letters) != 1 or any(atom in a.atoms for product in terms for atom, _ in product if atom in letters):
        return None
    (letter,) = letters
    if any(n != 1 for product in terms for atom, n in product if atom == letter):
        return None
    if any(letter in atom for product in terms for atom, _ in product if atom in a.atoms):
        return None
    factor = {tuple(p for p in product if p[0] != letter): c for product, c in terms.items() if _has(product, letter)}
    rest = {product: -c for product, c in terms.items() if not _has(product, letter)}
    slope = real(whole(factor), a)
    exact = a.divided(whole(rest), whole(factor))
    about = real(exact, a)
    return None if not slope or about is None else _Change(letter, Bound(about, exact), slope < 0)


def _has(product: tuple, letter: str) -> bool:
    return any(atom == letter for atom, _ in product)
