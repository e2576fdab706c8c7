"""Whether two exact forms differ as numbers: tried at a few points, with a bound on the error of rounding.

That two values are far apart at one point proves them different; that they are near proves nothing, and is left to
others. Real numbers stay real: a root or logarithm of a negative number makes a point useless.
"""

import math
import zlib
from collections.abc import Callable
from fractions import Fraction

from afterbase.verify.mathematics.algebra import EULER, IMAGINARY, PI, Arithmetic, Quotient, Sum

_NEAR = 1e-13
_POINTS = 3


def differ(a: Quotient, b: Quotient, arithmetic: Arithmetic) -> bool | None:
    """True if they are far apart at some point, False if they are near at all, None if neither can be computed."""
    if _is_huge(a, arithmetic) != _is_huge(b, arithmetic):
        return True
    known = False
    for point in range(_POINTS):
        at = _At(arithmetic, point)
        try:
            (x, x_scale), (y, y_scale) = at.quotient(a), at.quotient(b)
        except (ArithmeticError, ValueError, RecursionError):
            continue
        if not (math.isfinite(abs(x)) and math.isfinite(abs(y))):
            continue
        known = True
        if abs(x - y) > _NEAR * (x_scale + y_scale):
            return True
    return False if known else None


def real(value: Quotient, arithmetic: Arithmetic) -> float | None:
    """The number that a value without letters is, about; None if it has letters, or is none."""
    try:
        number, scale = _At(arithmetic, None).quotient(value)
    except (ArithmeticError, ValueError, RecursionError):
        return None
    if isinstance(number, complex) or not math.isfinite(number):
        return None
    return 0.0 if abs(number) <= _NEAR * scale else number


def _is_huge(value: Quotient, arithmetic: Arithmetic) -> bool:
    """Whether it is one product, without letters, that no float holds."""
    if len(value.above) != 1 or len(value.below) != 1:
        return False
    try:
        _At(arithmetic, None).quotient(value)
    except OverflowError:
        return True
    except (ArithmeticError, ValueError, RecursionError):
        return False
    return False


class _At:
    """Values at one point: every letter has a number of its own there."""

    def __init__(self, arithmetic: Arithmetic, point: int | None) -> None:
        self._atoms = arithmetic.atoms
        self._point = point
        self._known: dict[str, tuple[complex | float, float]] = {}

    def quotient(self, value: Quotient) -> tuple[complex | float, float]:
        """Value, and the size of what was added up for it, which is what rounding is relative to."""
        x, x_scale = self._sum(value.above)
        y, y_scale = self._sum(value.below)
        if abs(y) <= _NEAR * y_scale:
            raise ZeroDivisionError
        return x / y, x_scale / abs(y) + abs(x / y) * y_scale / abs(y)

    def _sum(self, terms: Sum) -> tuple[complex | float, float]:
        total: complex | float = 0.0
        scale = 0.0
        for product, coefficient in terms.items():
            term: complex | float = _float(coefficient)
            worse = 1.0
            for atom, exponent in product:
                value, factor = self._atom(atom)
                if isinstance(value, complex):
                    term *= value ** int(exponent) if exponent.denominator == 1 else math.nan
                elif value < 0 and exponent.denominator != 1:
                    raise ValueError("the root of a negative number")
                else:
                    term *= math.pow(value, float(exponent))
                worse = max(worse, factor * abs(float(exponent)))
            total += term
            scale += abs(term) * worse
        return total, scale

    def _atom(self, atom: str) -> tuple[complex | float, float]:
        if atom not in self._known:
            self._known[atom] = self._computed(atom)
        return self._known[atom]

    def _computed(self, atom: str) -> tuple[complex | float, float]:
        """Value, and by how much its relative error exceeds that of one rounding."""
        if atom[0] == "#":
            return float(int(atom[1:])), 1.0
        if atom in _CONSTANTS:
            return _CONSTANTS[atom], 1.0
        named = self._atoms.get(atom)
        if named is None:
            if self._point is None:
                raise ValueError("a letter has no value")
            share = zlib.crc32(f"{self._point} {atom}".encode()) / 2**32
            return ((0.1 + 0.8 * share), (0.6 + 2 * share), (-0.3 - 1.4 * share))[self._point], 1.0
        values = [self.quotient(argument) for argument in named.arguments]
        numbers = [value for value, _ in values]
        if named.name not in _FUNCTIONS or any(isinstance(number, complex) for number in numbers):
            raise ValueError("no function of real numbers")
        out = _FUNCTIONS[named.name](*numbers)
        error = max(scale for _, scale in values)
        step = 1e-7 * max(error, 1e-300)  # how fast the function changes, for how far an error of its argument reaches
        slope = 0.0
        if named.name not in ("floor", "ceil"):
            near = _FUNCTIONS[named.name](*(number - step for number in numbers))
            slope = abs(out - near) / 1e-7
        return out, 1.0 + slope / max(abs(out), 1e-300)


def _float(number: Fraction) -> float:
    return number.numerator / number.denominator  # exact to the last place, and OverflowError where it is too large


def _double_factorial(x: float) -> float:
    side = math.cos(math.pi * x)
    return 2 ** ((1 + 2 * x - side) / 4) * math.pi ** ((side - 1) / 4) * math.gamma(1 + x / 2)


def _power(base: float, exponent: float) -> float:
    return math.pow(base, exponent)


_CONSTANTS = {PI: math.pi, EULER: math.e, IMAGINARY: 1j}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "power": _power,
    "sum": lambda x: x,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "cot": lambda x: 1 / math.tan(x),
    "sec": lambda x: 1 / math.cos(x),
    "csc": lambda x: 1 / math.sin(x),
    "arcsin": math.asin,
    "arccos": math.acos,
    "arctan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "ln": math.log,
    "abs": math.fabs,
    "floor": math.floor,
    "ceil": math.ceil,
    "factorial": lambda x: math.gamma(x + 1),
    "double factorial": _double_factorial,
    "binom": lambda n, k: math.gamma(n + 1) / math.gamma(k + 1) / math.gamma(n - k + 1),
}
