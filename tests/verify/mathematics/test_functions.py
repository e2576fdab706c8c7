import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.mathematics.algebra import PI, Arithmetic, TooLargeError, constant, rational, symbol
from afterbase.verify.mathematics.functions import applied, binomial
from afterbase.verify.mathematics.nearness import real


@given(st.integers(-48, 48), st.sampled_from(["sin", "cos"]))
def test_multiples_of_fifteen_degrees_are_as_the_machine_computes_them(n: int, name: str) -> None:
    a = Arithmetic()
    angle = a.multiplied(symbol(PI), rational(Fraction(n, 12)))
    about = real(applied(a, name, angle), a)
    assert about == pytest.approx(getattr(math, name)(n * math.pi / 12), abs=1e-9)


@given(st.integers(1, 10**6), st.integers(2, 50))
def test_logarithms_of_products_are_sums(n: int, m: int) -> None:
    a = Arithmetic()
    parts = a.added(applied(a, "ln", rational(n)), applied(a, "ln", rational(m)))
    assert not a.difference(applied(a, "ln", rational(n * m)), parts)


@given(st.integers(0, 60), st.integers(0, 60))
def test_binomials_and_factorials_are_whole(n: int, k: int) -> None:
    a = Arithmetic()
    assert constant(binomial(a, rational(n), rational(k))) == math.comb(n, k)
    assert constant(applied(a, "factorial", rational(n))) == math.factorial(n)


def test_inverse_functions_and_bounds() -> None:
    a = Arithmetic()
    quarter = a.multiplied(symbol(PI), rational(Fraction(1, 4)))
    assert not a.difference(applied(a, "arctan", rational(1)), quarter)
    with pytest.raises(TooLargeError):
        applied(a, "factorial", rational(10**6))
