import pytest

from afterbase.verify.mathematics.signs import denies, differ_in_connective, relations, same_letters


@pytest.mark.parametrize(
    ("text", "expected"),
    [(r"x \neq 2", True), (r"\not x", True), (r"x \notin A", True), (r"\nu", False), (r"\negthinspace x", False)],
)
def test_signs_that_deny(text: str, expected: bool) -> None:
    assert denies(text) is expected


def test_signs_that_relate() -> None:
    assert relations(r"a \parallel b, c \perp d") == {"parallel", "perp"}
    assert relations(r"\simple a = b \middle") == set()


def test_and_is_not_or() -> None:
    assert differ_in_connective(r"p \land q", r"p \lor q")
    assert differ_in_connective("p ∨ q", "p ∧ q")
    for other in ("p ∧ q", "p and q", r"(p \land q) \lor r"):
        assert not differ_in_connective(r"p \land q", other)


@pytest.mark.parametrize(
    ("right", "got", "expected"),
    [
        *[("ABC", "ABC", True), ("ABC", "ACB", False), ("ABC", "CBA", False), (r"\text{BADC}", "BADC", True)],
        *[(r"\angle ABC", r"\angle CBA", True), (r"\angle ABC", r"\angle ACB", False)],
        *[("AB", "BA", None), ("abc", "acb", None), ("ABC", "5", None), ("5", "ABC", None)],
    ],
)
def test_the_order_of_capital_letters(right: str, got: str, expected: bool | None) -> None:
    assert same_letters(right, got) is expected
