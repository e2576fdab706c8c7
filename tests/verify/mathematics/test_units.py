from fractions import Fraction

import pytest

from afterbase.verify.mathematics.units import is_word, measured


@pytest.mark.parametrize(
    ("text", "value", "dimension", "size"),
    [
        ("5 cm", "5", "length", Fraction(1, 100)),
        (r"12\text{ cm}^2", "12", "length^2", Fraction(1, 10_000)),
        ("12 square miles", "12", "length^2", Fraction(1_609_344, 1000) ** 2),
        (r"3 \text{m/s}", "3", "speed", Fraction(1)),
        ("4 hours", "4", "time", Fraction(3600)),
        (r"30^\circ", "30", "angle", Fraction(1)),
    ],
)
def test_a_known_unit_has_a_dimension_and_a_size(text: str, value: str, dimension: str, size: Fraction) -> None:
    said = measured(text)
    assert (said.text, said.unit) == (value, (dimension, size))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("7 apples", "7"), ("£15", "15"), ("15€", "15"), ("3rd", "3"), (r"3^{\text{rd}}", "3"), ("20%", "20")],
        *[(r"\text{about }12\text{ m}", "12"), ("approximately 42", "42"), ("12 miles per hour", "12"), ("-£5", "-5")],
    ],
)
def test_words_and_money_around_a_number_go(text: str, value: str) -> None:
    assert measured(text).text == value


@pytest.mark.parametrize(
    "text",
    [
        "3m",
        "3 m",
        "3 ab",
        "5 half",
        "at least 5",
        "5 squared",
        "5 minus",
        "2 hours 30",
        r"\sin 30^\circ",
        "xyz",
        "3 hundredths",
    ],
)
def test_what_may_change_the_value_stays(text: str) -> None:
    assert measured(text).text == text


def test_percent_and_large_numbers_in_words() -> None:
    assert measured("20 percent").percent
    assert measured("2 million dollars").factor == 10**6


def test_words_are_told_from_products_of_letters() -> None:
    assert [is_word(text) for text in ("apples", "cm", "men", "ab", "xyz", "abc", "bcd")] == [True] * 3 + [False] * 4
