from fractions import Fraction

import pytest

from afterbase.verify.mathematics.algebra import (
    Arithmetic,
    MalformedError,
    NoValueError,
    TooLargeError,
    UndecidedError,
    constant,
)
from afterbase.verify.mathematics.formula import decimal, repeating, value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            ("1/2/3", "1/6"),
            ("-2^2", "-4"),
            ("2^{-1}", "1/2"),
            ("2**3", "8"),
            (r"\frac34", "3/4"),
            (r"3\frac{1}{2}", "7/2"),
        ],
        *[
            ("3 1/2", "7/2"),
            (r"2\frac{5}{3}", "10/3"),
            ("(2)(3)", "6"),
            ("2(3+4)", "14"),
            ("|2-5|", "3"),
            ("(3!)!", "720"),
            ("10!!", "3840"),
            ("9!!", "945"),
        ],
        *[
            (r"\sqrt{\frac{4}{9}}", "2/3"),
            (r"\sqrt[3]{27}", "3"),
            ("1e-05", "1/100000"),
            (r"\lfloor -3.5 \rfloor", "-4"),
        ],
        *[
            (r"\lceil 3.1 \rceil", "4"),
            (r"\binom{5}{2}", "10"),
            ("0.(3)", "1/3"),
            *[
                (r"0.\dot{3}", "1/3"),
                (r"0.\dot3", "1/3"),
                (r"0.1\dot{2}3\dot{4}", "137/1110"),
                (r"0.\overline{27}", "3/11"),
            ],
            *[(r"0.333\ldots", "1/3"), (r"0.1666 \ldots", "1/6"), (r"5.2727\ldots", "58/11"), (r"0.999\ldots", "1")],
            (r"0.1\overline{6}", "1/6"),
            ("(-8)^{1/3}", "-2"),
        ],
        *[(r"\log_{10} 1000", "3"), (r"\sin^2 45^\circ", "1/2"), ("--3", "3"), ("2^10", "1024"), (r"\Gamma(5)", "24")],
    ],
)
def test_constants_have_their_exact_value(text: str, expected: str) -> None:
    assert constant(value(text, Arithmetic())) == Fraction(expected)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        *[("5 6", NoValueError), ("6 feet 2 inches", NoValueError), ("1/0", NoValueError), ("0^{-1}", NoValueError)],
        *[
            ("(1", MalformedError),
            ("1+", MalformedError),
            ("1)", MalformedError),
            ("?", MalformedError),
            ("", MalformedError),
        ],
        *[
            (r"\int_0^1 x", UndecidedError),
            (r"1/2\pi", UndecidedError),
            *[(r"3.14\ldots", NoValueError), (r"0.33\ldots", NoValueError)],
            (r"\sqrt12", UndecidedError),
            ("x2", UndecidedError),
        ],
        *[("9999999!", TooLargeError), ("1e999999", TooLargeError), ("(" * 60 + "1" + ")" * 60, TooLargeError)],
    ],
)
def test_what_has_no_value_says_why(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        value(text, Arithmetic())


def test_decimals_are_what_they_say() -> None:
    assert decimal("1.50e2") == 150
    assert repeating("2.(45)") == Fraction(27, 11)
    assert repeating("0.(9)") == 1
