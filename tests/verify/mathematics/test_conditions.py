import pytest

from afterbase.verify.mathematics.algebra import Arithmetic
from afterbase.verify.mathematics.conditions import Condition, condition
from afterbase.verify.mathematics.formula import value


def solved(left: str, sign: str, right: str) -> Condition | None:
    a = Arithmetic()
    return condition(value(left, a), sign, value(right, a), a)


def ends(left: str, sign: str, right: str) -> list[tuple[float, bool, float, bool]]:
    found = solved(left, sign, right)
    assert found is not None
    assert found.letter == "x"
    return [(one.low.about, one.low_open, one.high.about, one.high_open) for one in found.region]


INFINITE = float("inf")


def test_conditions_that_are_linear() -> None:
    assert ends("2x", "<", "6") == [(-INFINITE, True, 3.0, True)]
    assert ends("6", r"\leq", "-2x") == [(-INFINITE, True, -3.0, False)]
    assert ends("x", r"\neq", "1") == [(-INFINITE, True, 1.0, True), (1.0, True, INFINITE, True)]


def test_the_size_of_what_is_linear() -> None:
    assert ends("|x-1|", "<", "2") == ends("2", ">", "|1-x|") == [(-1.0, True, 3.0, True)]
    assert ends("|2x|", r"\leq", "2") == [(-1.0, False, 1.0, False)]
    assert ends("|x|", r"\geq", "1") == [(-INFINITE, True, -1.0, False), (1.0, False, INFINITE, True)]
    assert ends("|x|", "<", "-1") == []
    assert ends("|x|", ">", "-1") == [(-INFINITE, True, INFINITE, True)]
    assert ends("|x|", r"\neq", "1") == [
        *[(-INFINITE, True, -1.0, True), (-1.0, True, 1.0, True), (1.0, True, INFINITE, True)]
    ]


@pytest.mark.parametrize(("left", "right"), [("x+y", "1"), ("x^2", "1"), ("|x|", "y"), ("|x+y|", "1"), ("2|x|+x", "1")])
def test_what_others_are_is_not_said(left: str, right: str) -> None:
    assert solved(left, "<", right) is None
