from fractions import Fraction

import pytest

from afterbase.verify.mathematics.quantities import KNOWN, RADIAN, Unit, alike, unit


@pytest.mark.parametrize(
    ("words", "others"),
    [
        *[("N", "kg m/s^2"), ("J", "N m"), ("W", "J/s"), ("Pa", "N per square metre"), ("V", "W/A"), ("mL", "cm^3")],
        *[("sq ft", "square feet"), ("metres squared", "m^2"), ("m s^{-2}", "m/s^2"), ("mph", "miles per hour")],
        *[("degrees Celsius", "celsius"), ("degrees F", "fahrenheit"), ("Hz", "s^-1"), ("cm2", "cm^2")],
    ],
)
def test_the_same_unit_in_other_words(words: str, others: str) -> None:
    assert unit(words) is not None
    assert unit(words) == unit(others)


def test_a_prefix_is_a_power_of_ten() -> None:
    for prefix, factor in (("k", 1000), ("m", Fraction(1, 1000)), ("c", Fraction(1, 100))):
        assert KNOWN[f"{prefix}m"] == Unit("length", Fraction(factor))
    assert KNOWN["kilowatts"] == KNOWN["kW"]


@pytest.mark.parametrize("words", ["apples", "cm apples", "", "^2", "m^99", "per", "m m m m m m m"])
def test_what_is_no_unit(words: str) -> None:
    assert unit(words) is None


def test_what_measures_the_same() -> None:
    assert alike(KNOWN["cm"], KNOWN["m"]) is alike(KNOWN["$"], KNOWN["cents"]) is alike(RADIAN, KNOWN["deg"]) is True
    for one, other in (("$", "€"), ("kg", "m"), ("N", "J"), ("celsius", "cm"), ("rad", "celsius"), ("£", "kg")):
        assert alike(KNOWN[one], KNOWN[other]) is False
    assert alike(KNOWN["£"], KNOWN["pounds"]) is alike(KNOWN["degrees"], KNOWN["fahrenheit"]) is None
