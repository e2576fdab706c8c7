from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.mathematics.numerals import numeral


@given(st.fractions(-1000, 1000, max_denominator=99), st.integers(1, 9))
def test_quotients_are_evaluated_in_lowest_terms_alone(value: Fraction, factor: int) -> None:
    above, below = value.numerator * factor, value.denominator * factor
    for text in (f"{above}/{below}", f"\\frac{{{above}}}{{{below}}}", f"x = \\dfrac{{{above}}}{{{below}}}."):
        said = numeral(text)
        assert said is not None
        assert (said.value, said.evaluated) == (value, value.denominator > 1 and factor == 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[
            ("1,234.50", "1234.5"),
            ("1e-05", "0.00001"),
            (r"6.02\times 10^{23}", "6.02e23"),
            (r"-1\frac12", "-1.5"),
            (".5", "0.5"),
        ],
        *[
            ("0.(3)", "1/3"),
            (r"0.1\overline{6}", "1/6"),
            ("5 = x", "5"),
            ("2+3=5", "5"),
            ("0,5", "0.5"),
            ("$1,000", "1000"),
        ],
        *[("2 dozen eggs", "24"), ("(-5)", "-5"), (r"\frac{22}{7} \approx 3.14", "3.14"), ("3-1/2", "3.5")],
    ],
)
def test_numbers_that_are_written_out(text: str, value: str) -> None:
    said = numeral(text)
    assert said is not None
    assert said.evaluated
    assert said.value == Fraction(value)


@pytest.mark.parametrize(
    "text", ["12+34", "x", "5 6", "1/0", "4=5", "2x=10", "5 or 6", "", "1e99999", r"\pi", "1,23", "5!"]
)
def test_what_is_no_number(text: str) -> None:
    assert numeral(text) is None
