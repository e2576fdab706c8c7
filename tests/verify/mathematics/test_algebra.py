from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.mathematics.algebra import (
    IMAGINARY,
    Arithmetic,
    NoValueError,
    TooLargeError,
    constant,
    factors,
    rational,
    symbol,
)

fractions = st.fractions(-50, 50, max_denominator=20)


@given(fractions, fractions)
def test_rationals_are_computed_as_fractions(a: Fraction, b: Fraction) -> None:
    arithmetic = Arithmetic()
    assert constant(arithmetic.added(rational(a), rational(b))) == a + b
    assert constant(arithmetic.multiplied(rational(a), rational(b))) == a * b
    if b:
        assert constant(arithmetic.divided(rational(a), rational(b))) == a / b


@given(st.integers(1, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_a_power_of_a_root_is_a_root_of_the_power(n: int, above: int, below: int) -> None:
    arithmetic = Arithmetic()
    root = arithmetic.power(rational(n), rational(Fraction(1, below)))
    direct = arithmetic.power(rational(n), rational(Fraction(above, below)))
    assert not arithmetic.difference(arithmetic.power(root, rational(above)), direct)


@given(st.integers(1, 10**6))
def test_factors_multiply_to_the_number(n: int) -> None:
    product = 1
    for prime, power in factors(n):
        product *= prime**power
    assert product == n


def test_quotients_are_equal_by_cross_multiplication() -> None:
    a = Arithmetic()
    root = a.power(rational(3), rational(Fraction(1, 2)))
    inverse = a.divided(rational(1), a.added(rational(2), root, -1))
    assert not a.difference(inverse, a.added(rational(2), root))
    x = symbol("x")
    assert not a.difference(a.divided(a.multiplied(x, x), x), x)
    assert a.difference(x, symbol("y"))


def test_i_squared_is_minus_one_and_sums_under_roots_come_back() -> None:
    a = Arithmetic()
    assert constant(a.multiplied(symbol(IMAGINARY), symbol(IMAGINARY))) == -1
    inner = a.added(symbol("x"), rational(1))
    root = a.power(inner, rational(Fraction(1, 2)))
    assert not a.difference(a.multiplied(root, root), inner)
    assert not a.is_plain(root)


def test_what_is_too_large_or_has_no_value_is_refused() -> None:
    a = Arithmetic()
    with pytest.raises(NoValueError):
        a.divided(rational(1), rational(0))
    with pytest.raises(TooLargeError):
        a.power(a.added(symbol("x"), rational(1)), rational(10**6))
    huge = a.power(rational(9), rational(10**30))
    assert not a.difference(huge, a.power(rational(3), rational(2 * 10**30)))
