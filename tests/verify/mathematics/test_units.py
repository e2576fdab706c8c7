from fractions import Fraction

import pytest

from afterbase.verify.mathematics.quantities import Unit
from afterbase.verify.mathematics.units import is_word, measured, read_as_unit, summed


@pytest.mark.parametrize(
    ("text", "value", "dimension", "size"),
    [
        ("5 cm", "5", "length", Fraction(1, 100)),
        (r"12\text{ cm}^2", "12", "length^2", Fraction(1, 10_000)),
        ("12 square miles", "12", "length^2", Fraction(1_609_344, 1000) ** 2),
        (r"3 \text{m/s}", "3", "length time^-1", Fraction(1)),
        ("4 hours", "4", "time", Fraction(3600)),
        (r"30^\circ", "30", "angle", Fraction(1)),
        *[("$5", "5", "dollar", Fraction(1)), ("5 euros", "5", "euro", Fraction(1)), ("$5 million", "5", "dollar", 1)],
        (r"4\text{ kg}\cdot\text{m}/\text{s}^2", "4", "length mass time^-2", Fraction(1000)),
        ("60 miles per hour", "60", "length time^-1", Fraction(1397, 3125)),
    ],
)
def test_a_known_unit_has_a_dimension_and_a_size(text: str, value: str, dimension: str, size: Fraction) -> None:
    said = measured(text)
    assert (said.text, said.unit) == (value, Unit(dimension, size))


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


def test_a_word_alone_has_no_unit_behind_it() -> None:
    assert measured("No solution").text == "No solution"


def test_a_letter_at_the_end_may_be_a_unit() -> None:
    assert read_as_unit("5 m") == ("5", Unit("length", Fraction(1)))
    assert read_as_unit("2s^2") == ("2", Unit("time^2", Fraction(1)))
    assert read_as_unit("5x") is read_as_unit("m") is read_as_unit("am") is None


def test_parts_in_smaller_and_smaller_units_are_a_sum() -> None:
    parts = summed(r"6 feet 2\text{ inches}")
    assert parts is not None
    assert [number for number, _ in parts] == ["6", "2"]
    for text in ("6 feet", "2 inches 6 feet", "2 m 3 s", "2 apples 3 pears", "5 6"):
        assert summed(text) is None


def test_words_are_told_from_products_of_letters() -> None:
    assert [is_word(text) for text in ("apples", "cm", "men", "ab", "xyz", "abc", "bcd")] == [True] * 3 + [False] * 4
