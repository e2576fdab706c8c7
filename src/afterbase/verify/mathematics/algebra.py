r"""Exact arithmetic of answers: quotients of sums of products, with roots, pi, e, i and letters.

A sum maps products to rational coefficients; a product maps atoms to exponents. Atoms are the roots of primes, pi, e, i
and letters, and whatever has no other form (\sin 1, 2^x, \sqrt{x+1}), under a name that its own exact form makes. Two
quotients are equal where their difference by cross-multiplication is empty, which proves it. Where it is not, and no
such named atom is left, they differ. Work and size are bounded: 9^{9^9} is a power of three, and what is larger still
raises TooLargeError.
"""

from fractions import Fraction
from functools import lru_cache
from math import gcd, isqrt, lcm
from typing import NamedTuple

Product = tuple[tuple[str, Fraction], ...]
"""Exponents by atom, in the atoms' order; none for 1."""
Sum = dict[Product, Fraction]
"""Coefficients by product; zero is empty."""

PI, EULER, IMAGINARY = r"\pi", "e", "i"
_MOST_BITS = 40_000
_MOST_WORK = 8_000
_MOST_TERMS = 300
_LARGEST_POWER_OF_SUM = 60
_LARGEST_DIVISOR = 10_000
_MOST_BITS_TO_FACTOR = 4000
_LONGEST_NAME = 3000
_ONE: Sum = {(): Fraction(1)}


class UndecidedError(Exception):
    """The grammar does not reach this far."""


class MalformedError(UndecidedError):
    """The text is no formula at all: a bracket that is not closed, an operator without an operand."""


class TooLargeError(Exception):
    """The value has more digits or terms than any answer."""


class NoValueError(Exception):
    """The text has no value: a division by zero, or two numbers side by side."""


class Quotient(NamedTuple):
    """A value: one sum over another."""

    above: Sum
    below: Sum


class Atom(NamedTuple):
    """What a name of the arithmetic's own stands for: a function of values, or a power or a sum of them."""

    name: str
    arguments: tuple[Quotient, ...]


def rational(number: Fraction | int) -> Quotient:
    return Quotient({(): Fraction(number)} if number else {}, _ONE)


def whole(terms: Sum) -> Quotient:
    """A sum over one."""
    return Quotient(terms, _ONE)


def symbol(name: str) -> Quotient:
    return Quotient({((name, Fraction(1)),): Fraction(1)}, _ONE)


def constant(value: Quotient) -> Fraction | None:
    """The rational that the value is, if it is one."""
    if value.below is not _ONE and value.below != _ONE:
        return None
    if not value.above:
        return Fraction(0)
    return value.above.get(()) if len(value.above) == 1 else None


def key(value: Quotient) -> str:
    """One text for equal sums; for quotients too, as a rule."""
    return _text(value.above) if value.below == _ONE else f"{_text(value.above)}/({_text(value.below)})"


def _text(terms: Sum) -> str:
    return "+".join(f"{c}*{'*'.join(f'{atom}^{n}' for atom, n in product)}" for product, c in sorted(terms.items()))


class Arithmetic:
    """The operations, within one budget of work, and the atoms that they had to name."""

    def __init__(self) -> None:
        self.atoms: dict[str, Atom] = {}
        self._work = 0

    def opaque(self, name: str, *arguments: Quotient) -> Quotient:
        """A function of values as an atom."""
        atom = f"{name}({';'.join(map(key, arguments))})"
        if len(atom) > _LONGEST_NAME:
            raise UndecidedError
        self.atoms[atom] = Atom(name, arguments)
        return symbol(atom)

    def is_plain(self, value: Quotient) -> bool:
        """Whether no named atom is in it, so that other forms are other values."""
        return not any(atom in self.atoms for part in value for product in part for atom, _ in product)

    def added(self, a: Quotient, b: Quotient, sign: int = 1) -> Quotient:
        if a.below == b.below:
            return self._reduced(self._sum(a.above, b.above, sign), a.below)
        above = self._sum(self._times(a.above, b.below), self._times(b.above, a.below), sign)
        return self._reduced(above, self._times(a.below, b.below))

    def negated(self, a: Quotient) -> Quotient:
        return Quotient({product: -c for product, c in a.above.items()}, a.below)

    def multiplied(self, a: Quotient, b: Quotient) -> Quotient:
        return self._reduced(self._times(a.above, b.above), self._times(a.below, b.below))

    def divided(self, a: Quotient, b: Quotient) -> Quotient:
        if not b.above:
            raise NoValueError
        return self._reduced(self._times(a.above, b.below), self._times(a.below, b.above))

    def difference(self, a: Quotient, b: Quotient) -> Sum:
        """The numerator of a - b."""
        return self._sum(self._times(a.above, b.below), self._times(b.above, a.below), -1)

    def times(self, a: Sum, b: Sum) -> Sum:
        """The product of two sums."""
        return self._times(a, b)

    def power(self, base: Quotient, exponent: Quotient) -> Quotient:
        """The base to any exponent that is a value."""
        number = constant(exponent)
        if number is None:
            return self._exponential(base, exponent)
        if number.denominator == 1:
            return self._whole_power(base, int(number))
        if not base.above:
            if number < 0:
                raise NoValueError
            return base
        above = self._root(base.above, number)
        return above if base.below == _ONE else self.divided(above, self._root(base.below, number))

    def _whole_power(self, base: Quotient, n: int) -> Quotient:
        if not base.above:
            if n <= 0:
                raise NoValueError
            return base
        if n < 0:
            base, n = self._reduced(base.below, base.above), -n
        if len(base.above) == 1 and base.below == _ONE:
            ((product, c),) = base.above.items()
            return self._term_power(product, c, Fraction(n))
        if n > _LARGEST_POWER_OF_SUM:
            if self.is_plain(base):
                raise TooLargeError
            return self.opaque("power", base, rational(n))
        above, below = _ONE, _ONE
        for _ in range(n):
            above, below = self._times(above, base.above), self._times(below, base.below)
        return self._reduced(above, below)

    def _term_power(self, product: Product, c: Fraction, n: Fraction) -> Quotient:
        """(c x product)^n for a whole n, or for a positive c."""
        powers = {atom: m * n for atom, m in product}
        bits = c.numerator.bit_length() + c.denominator.bit_length()
        if n.denominator == 1 and abs(n) * bits <= _MOST_BITS:
            return Quotient(self._folded(powers, c ** int(n)), _ONE)
        sign = -1 if c < 0 and n.numerator % 2 else 1
        for prime, m in (*factors(abs(c.numerator)), *((p, -m) for p, m in factors(c.denominator))):
            powers[f"#{prime}"] = powers.get(f"#{prime}", Fraction(0)) + m * n
        return Quotient(self._folded(powers, Fraction(sign)), _ONE)

    def _root(self, base: Sum, n: Fraction) -> Quotient:
        if len(base) > 1:
            return self._root_of_sum(base, n)
        ((product, c),) = base.items()
        unit = rational(1)
        if c < 0:
            if n.denominator % 2:
                unit = rational(-1 if n.numerator % 2 else 1)
            elif n.denominator == 2:
                unit = self._whole_power(symbol(IMAGINARY), n.numerator)
            else:
                return self.opaque("power", Quotient(base, _ONE), rational(n))
        for atom, m in product:
            if atom == IMAGINARY or (m.denominator == 1 and m % 2 == 0 and not _known_positive(atom) and (m * n) % 2):
                return self.multiplied(unit, self.opaque("power", whole({product: abs(c)}), rational(n)))
        try:
            return self.multiplied(unit, self._term_power(product, abs(c), n))
        except UndecidedError:  # a number that takes long to factor
            return self.multiplied(unit, self.opaque("power", whole({product: abs(c)}), rational(n)))

    def _root_of_sum(self, base: Sum, n: Fraction) -> Quotient:
        """A sum without rational content, as an atom."""
        content = Fraction(0)
        for c in base.values():
            content = _common(content, c)
        inner = Quotient({product: c / content for product, c in base.items()}, _ONE)
        atom = self.opaque("sum", inner)
        ((product, _),) = atom.above.items()
        return self.multiplied(self._term_power((), content, n), Quotient({((product[0][0], n),): Fraction(1)}, _ONE))

    def _exponential(self, base: Quotient, exponent: Quotient) -> Quotient:
        """Powers with letters above: base^(a + b) = base^a base^b, and (p q)^a = p^a q^a for positive factors."""
        single = len(base.above) == 1 and base.below == _ONE
        ((product, c),) = base.above.items() if single else [((), Fraction(-1))]
        if not single or c < 0 or exponent.below != _ONE:
            return self.opaque("power", base, exponent)
        parts = [(f"#{p}", m) for p, m in factors(c.numerator)] + [(f"#{p}", -m) for p, m in factors(c.denominator)]
        parts += list(product)
        out = rational(1)
        for term, coefficient in exponent.above.items():
            if not term:
                out = self.multiplied(out, self.power(base, rational(coefficient)))
                continue
            for atom, m in parts:
                single_term = Quotient({term: Fraction(1)}, _ONE)
                under = symbol(atom) if atom[0] != "#" else rational(int(atom[1:]))
                ((power, _),) = self.opaque("power", under, single_term).above.items()
                raised = Quotient({((power[0][0], coefficient * m),): Fraction(1)}, _ONE)
                out = self.multiplied(out, raised)
        return out

    def _reduced(self, above: Sum, below: Sum) -> Quotient:
        """With 1 below, where there is one term, or where above is a multiple of below."""
        if below is _ONE or below == _ONE:
            return Quotient(above, _ONE)
        if len(below) == 1:
            ((product, c),) = below.items()
            return Quotient(self._times(above, self._folded({atom: -n for atom, n in product}, 1 / c)), _ONE)
        if above.keys() == below.keys() and len({c / below[product] for product, c in above.items()}) == 1:
            return rational(next(c / below[product] for product, c in above.items()))
        return Quotient(above, below)

    @staticmethod
    def _sum(a: Sum, b: Sum, sign: int) -> Sum:
        out = dict(a)
        for product, c in b.items():
            total = out.get(product, 0) + sign * c
            if total:
                out[product] = total
            else:
                out.pop(product, None)
        return out

    def _times(self, a: Sum, b: Sum) -> Sum:
        if b is _ONE:
            return a
        if a is _ONE:
            return b
        self._spend(len(a) * len(b))
        out: Sum = {}
        for left, x in a.items():
            for right, y in b.items():
                c = x * y
                if left and right:
                    powers = dict(left)
                    for atom, n in right:
                        powers[atom] = powers.get(atom, Fraction(0)) + n
                    terms = self._folded(powers, c)
                else:
                    terms = {left or right: c}
                for product, d in terms.items():
                    self._spend(d.numerator.bit_length() // 500)
                    total = out.get(product, 0) + d
                    if total:
                        out[product] = total
                    else:
                        out.pop(product, None)
        if len(out) > _MOST_TERMS:
            raise TooLargeError
        return out

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > _MOST_WORK:
            raise TooLargeError

    def _folded(self, powers: dict[str, Fraction], c: Fraction) -> Sum:
        """c times the powers, with whole powers of primes, i and named sums worked out."""
        out: Sum = _ONE
        product = []
        for atom in sorted(powers):
            n = powers[atom]
            if atom[0] == "#":
                whole = n.numerator // n.denominator
                prime = int(atom[1:])
                if whole and abs(whole) * prime.bit_length() <= _MOST_BITS:
                    c *= Fraction(prime) ** whole
                    _bounded(c)
                    n -= whole
            elif atom == IMAGINARY:
                if n.denominator != 1:
                    raise UndecidedError
                c *= -1 if n % 4 in (2, 3) else 1
                n = n % 2
            elif n >= 1 and atom in self.atoms and self.atoms[atom].name == "sum":
                whole = n.numerator // n.denominator
                if whole > _LARGEST_POWER_OF_SUM:
                    raise TooLargeError
                for _ in range(whole):
                    out = self._times(out, self.atoms[atom].arguments[0].above)
                n -= whole
            if n:
                product.append((atom, n))
        _bounded(c)
        if not c:
            return {}
        return self._times({tuple(product): c}, out)


def is_number(atom: str) -> bool:
    """Whether it is the root of a prime, pi, e or i: no letter, and no named atom."""
    return atom[0] == "#" or atom in (PI, EULER, IMAGINARY)


def _bounded(c: Fraction) -> None:
    if c.numerator.bit_length() + c.denominator.bit_length() > 2 * _MOST_BITS:
        raise TooLargeError


def _known_positive(atom: str) -> bool:
    return atom[0] == "#" or atom in (PI, EULER)


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The greatest rational of which both are whole multiples."""
    return Fraction(gcd(a.numerator, b.numerator), lcm(a.denominator, b.denominator))


@lru_cache(maxsize=4096)
def factors(number: int) -> tuple[tuple[int, int], ...]:
    """Primes with their powers; UndecidedError where trial division up to a bound does not end it."""
    if number.bit_length() > _MOST_BITS_TO_FACTOR:
        raise UndecidedError
    out, rest = [], number
    root = isqrt(number)
    if root * root == number and number > _LARGEST_DIVISOR:
        return tuple((p, 2 * m) for p, m in factors(root))
    divisor = 2
    while divisor * divisor <= rest:
        if divisor > _LARGEST_DIVISOR:
            raise UndecidedError
        power = 0
        while rest % divisor == 0:
            rest //= divisor
            power += 1
        if power:
            out.append((divisor, power))
        divisor += 1 if divisor == 2 else 2
    return tuple([*out, (rest, 1)] if rest > 1 else out)
