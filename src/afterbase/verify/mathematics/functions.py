r"""Functions of exact values: \sin 30^\circ is 1/2, \log_2 8 is 3, 5! is 120; what has no such form is an atom."""

import math
from fractions import Fraction

from afterbase.verify.mathematics.algebra import (
    EULER,
    PI,
    Arithmetic,
    NoValueError,
    Quotient,
    TooLargeError,
    constant,
    factors,
    key,
    rational,
    symbol,
)
from afterbase.verify.mathematics.nearness import real

_LARGEST_FACTORIAL = 2500
_SQUARES_OF_SINE = {  # (numerator under the root, denominator) of the sine of multiples of a twelfth of pi
    Fraction(0): (0, 1),
    Fraction(1, 6): (1, 2),
    Fraction(1, 4): (2, 2),
    Fraction(1, 3): (3, 2),
    Fraction(1, 2): (4, 2),
}
_INVERSE = {"arcsin": "sin", "arccos": "cos", "arctan": "tan"}
NAMES = frozenset(
    ["sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "exp"]
)


def applied(arithmetic: Arithmetic, name: str, value: Quotient) -> Quotient:
    """A function of one value by its name, as in `NAMES`; also abs, floor, ceil and factorial."""
    match name:
        case "ln" | "log":
            return _logarithm(arithmetic, value)
        case "exp":
            return arithmetic.power(symbol(EULER), value)
        case "sin" | "cos" | "tan" | "cot" | "sec" | "csc":
            return _circular(arithmetic, name, value)
        case "arcsin" | "arccos" | "arctan":
            return _inverse(arithmetic, name, value)
        case "abs":
            return _absolute(arithmetic, value)
        case "floor" | "ceil":
            return _rounded(arithmetic, name, value)
        case "factorial" | "double factorial":
            return _factorial(arithmetic, value, 1 if name == "factorial" else 2)
        case _:
            return arithmetic.opaque(name, value)


def binomial(arithmetic: Arithmetic, n: Quotient, k: Quotient) -> Quotient:
    above, below = constant(n), constant(k)
    if above is None or below is None or above.denominator * below.denominator != 1 or above < 0:
        return arithmetic.opaque("binom", n, k)
    if above > _LARGEST_FACTORIAL:
        raise TooLargeError
    return rational(math.comb(int(above), int(below)) if below >= 0 else 0)


def _logarithm(arithmetic: Arithmetic, value: Quotient) -> Quotient:
    """ln(p^a q^b) = a ln p + b ln q for positive numbers; ln of a letter is an atom."""
    if not value.above:
        raise NoValueError
    if len(value.above) > 1 or len(value.below) > 1:
        return arithmetic.opaque("ln", value)
    ((product, c),) = value.above.items()
    if c < 0 or any(atom[0] != "#" and atom not in (PI, EULER) for atom, _ in product):
        return arithmetic.opaque("ln", value)
    parts = [(f"#{p}", Fraction(n)) for p, n in factors(c.numerator)]
    parts += [(f"#{p}", Fraction(-n)) for p, n in factors(c.denominator)]
    out = rational(0)
    for atom, n in (*parts, *product):
        one = rational(1) if atom == EULER else arithmetic.opaque("ln", _number(atom))
        out = arithmetic.added(out, arithmetic.multiplied(rational(n), one))
    return out


def _number(atom: str) -> Quotient:
    return rational(int(atom[1:])) if atom[0] == "#" else symbol(atom)


def _turns(value: Quotient) -> Fraction | None:
    """The multiple of pi that a value is, if it is one."""
    if not value.above:
        return Fraction(0)
    ((product, c), *more) = value.above.items()
    return c if not more and product == ((PI, Fraction(1)),) and len(value.below) == 1 else None


def _circular(arithmetic: Arithmetic, name: str, value: Quotient) -> Quotient:
    turns = _turns(value)
    if turns is not None:
        sine, cosine = _sine(turns), _sine(turns + Fraction(1, 2))
        if sine is not None and cosine is not None:
            above, below = {
                "sin": (sine, rational(1)),
                "cos": (cosine, rational(1)),
                "tan": (sine, cosine),
                "cot": (cosine, sine),
                "sec": (rational(1), cosine),
                "csc": (rational(1), sine),
            }[name]
            return arithmetic.divided(above, below)
    if value.above and min(value.above.items())[1] < 0:  # odd and even functions
        flipped = arithmetic.opaque(name, arithmetic.negated(value))
        return flipped if name in ("cos", "sec") else arithmetic.negated(flipped)
    return arithmetic.opaque(name, value)


def _sine(turns: Fraction) -> Quotient | None:
    turns %= 2
    sign = 1
    if turns >= 1:
        turns, sign = turns - 1, -1
    square = _SQUARES_OF_SINE.get(min(turns, 1 - turns))
    if square is None:
        return None
    root = Arithmetic().power(rational(square[0]), rational(Fraction(1, 2)))
    return Arithmetic().multiplied(root, rational(Fraction(sign, square[1])))


def _inverse(arithmetic: Arithmetic, name: str, value: Quotient) -> Quotient:
    twelfths = range(-5, 6) if name == "arctan" else range(-6, 7) if name == "arcsin" else range(13)
    for n in twelfths if len(value.above) <= 1 and value.below == rational(1).below else ():
        if _sine(Fraction(n, 12)) is None or _sine(Fraction(n + 6, 12)) is None:
            continue
        angle = arithmetic.multiplied(symbol(PI), rational(Fraction(n, 12)))
        if key(_circular(arithmetic, _INVERSE[name], angle)) == key(value):
            return angle
    return arithmetic.opaque(name, value)


def _absolute(arithmetic: Arithmetic, value: Quotient) -> Quotient:
    number = real(value, arithmetic)
    if number is not None:
        return arithmetic.negated(value) if number < 0 else value
    if value.above and min(value.above.items())[1] < 0:
        value = arithmetic.negated(value)
    return arithmetic.opaque("abs", value)


def _rounded(arithmetic: Arithmetic, name: str, value: Quotient) -> Quotient:
    number = constant(value)
    if number is not None:
        return rational(math.floor(number) if name == "floor" else math.ceil(number))
    about = real(value, arithmetic)
    if about is not None and abs(about) < 1e9 and abs(about - round(about)) > 1e-6:
        return rational(math.floor(about) if name == "floor" else math.ceil(about))
    return arithmetic.opaque(name, value)


def _factorial(arithmetic: Arithmetic, value: Quotient, step: int) -> Quotient:
    """n(n - step)(n - 2 step) ..., down to a positive number."""
    number = constant(value)
    if number is None:
        return arithmetic.opaque("factorial" if step == 1 else "double factorial", value)
    if number < 0 or number.denominator != 1:
        raise NoValueError
    if number > _LARGEST_FACTORIAL:
        raise TooLargeError
    return rational(math.prod(range(int(number), 0, -step)))
