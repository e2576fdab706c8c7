r"""Whether two exact forms are one function: \sin 2x and 2\sin x\cos x, \cosh x + \sinh x and e^x, e^{i\pi} and -1.

Both are computed at a few points, to 120 digits, and are the same where 100 of them agree at each point. Both have to
have values at the same points: \ln x is not \ln|x|. Rational numbers, roots and polynomials were decided exactly before
(algebra.py). Real numbers stay real: a logarithm or an even root of a negative number has no value, an odd root has a
real one.

Does not cover: what is equal for whole numbers alone, as (-1)^n and \cos n\pi.
"""

import zlib
from fractions import Fraction
from typing import Any

import mpmath

from afterbase.verify.mathematics.algebra import EULER, IMAGINARY, PI, Arithmetic, Quotient, Sum

_DIGITS = 120
_EQUAL = mpmath.mpf(10) ** -100
_POINTS = ((0.1, 0.8), (0.6, 2.0), (1.5, 2.5), (-1.7, 1.4))  # least value of a letter, and how much more it may be
_FEWEST = 2  # points, where there are letters


class _NoValueError(ValueError):
    """The form has no value at this point."""


def agree(a: Quotient, b: Quotient, arithmetic: Arithmetic) -> bool | None:
    """True if they agree at every point, False if they do not at one, None for too few points, or other ones."""
    found = 0
    for point in range(len(_POINTS)):
        with mpmath.workdps(_DIGITS):
            at = _At(arithmetic, point)
            one, other = at.value(a), at.value(b)
            if one is None or other is None:
                if one is not other:
                    return None  # defined in different places
                continue
            (x, x_scale), (y, y_scale) = one, other
            if not abs(x - y) <= _EQUAL * (x_scale + y_scale):
                return False
        if not at.letters:
            return True
        found += 1
    return True if found >= _FEWEST else None


class _At:
    """Values at one point, each with the size of what was added up for it."""

    def __init__(self, arithmetic: Arithmetic, point: int) -> None:
        self.letters = False
        self._atoms = arithmetic.atoms
        self._point = point
        self._known: dict[str, Any] = {}

    def value(self, value: Quotient) -> tuple[Any, Any] | None:
        """Value and scale, None where there is none."""
        try:
            return self.quotient(value)
        except (ArithmeticError, ValueError, TypeError, RecursionError):
            return None

    def quotient(self, value: Quotient) -> tuple[Any, Any]:
        x, x_scale = self._sum(value.above)
        y, y_scale = self._sum(value.below)
        if abs(y) <= _EQUAL * y_scale:
            raise _NoValueError
        return x / y, x_scale / abs(y) + abs(x / y) * y_scale / abs(y)

    def _sum(self, terms: Sum) -> tuple[Any, Any]:
        total, scale = mpmath.mpf(0), mpmath.mpf(0)
        for product, coefficient in terms.items():
            term = mpmath.mpf(coefficient.numerator) / coefficient.denominator
            for atom, exponent in product:
                term *= _power(self._atom(atom), exponent)
            total += term
            scale += abs(term)
        return total, scale

    def _atom(self, atom: str) -> Any:
        if atom not in self._known:
            self._known[atom] = self._computed(atom)
        return self._known[atom]

    def _computed(self, atom: str) -> Any:
        if atom[0] == "#":
            return mpmath.mpf(int(atom[1:]))
        if atom in (PI, EULER, IMAGINARY):
            return {PI: mpmath.pi, EULER: mpmath.e, IMAGINARY: mpmath.mpc(0, 1)}[atom] * 1
        named = self._atoms.get(atom)
        if named is None:
            self.letters = True
            least, more = _POINTS[self._point]
            return mpmath.mpf(least) + more * mpmath.mpf(zlib.crc32(f"{self._point} {atom}".encode())) / 2**32
        values = [self.quotient(argument)[0] for argument in named.arguments]
        if named.name not in _FUNCTIONS:
            raise _NoValueError
        if named.name not in _OF_COMPLEX and any(isinstance(value, mpmath.mpc) for value in values):
            raise _NoValueError
        out = _FUNCTIONS[named.name](*values)
        if isinstance(out, mpmath.mpc) and not any(isinstance(value, mpmath.mpc) for value in values):
            raise _NoValueError  # the logarithm of a negative number
        return out


def _power(base: Any, exponent: Fraction) -> Any:
    if exponent.denominator == 1:
        return base ** int(exponent)
    if isinstance(base, mpmath.mpc) or (base < 0 and exponent.denominator % 2 == 0):
        raise _NoValueError
    out = abs(base) ** (mpmath.mpf(exponent.numerator) / exponent.denominator)
    return -out if base < 0 and exponent.numerator % 2 else out


def _raised(base: Any, exponent: Any) -> Any:
    if isinstance(base, mpmath.mpc) or base <= 0:
        raise _NoValueError
    return mpmath.power(base, exponent)


_OF_COMPLEX = ("power", "sum", "abs", "sin", "cos", "sinh", "cosh")
_FUNCTIONS = {
    "power": _raised,
    "sum": lambda x: x,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "cot": mpmath.cot,
    "sec": mpmath.sec,
    "csc": mpmath.csc,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "ln": mpmath.log,
    "abs": mpmath.fabs,
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "factorial": mpmath.factorial,
    "double factorial": mpmath.fac2,
    "binom": mpmath.binomial,
}
