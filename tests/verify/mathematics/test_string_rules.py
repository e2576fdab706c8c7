import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.mathematics.string_rules import equal


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        (r"\tfrac{1}{2}", r"\frac12", True),
        (r"\frac1{72}", r"\frac{1}{72}", True),
        ("1/2", r"\frac{1}{2}", True),
        ("0.5", r"\frac{1}{2}", True),
        (".5", "0.5", True),
        ("x/2", r"\frac{x}{2}", False),
        (r"\sqrt3", r"\sqrt{3}", True),
        (r"10\text{ units}", "10 ", True),
        (r"10\%", "10", True),
        ("k=5", "5", True),
        ("abc=5", "5", False),
        ("4, 10, -2", "10, 4, -2", False),
        (r"90^\circ", "90", True),
        (r"\left(x\right)", "(x)", True),
        (r"\sqrt", r"\sqrt", True),  # what cannot be cleaned up is compared as it stands
        (r"\sqrt", r"\sqrt ", False),
        (r"\frac", r"\frac ", False),
        (r"\frac1", r"\frac1 ", True),
        ("", "", True),
        ("", "0", False),
    ],
)
def test_rules(gold: str, answer: str, expected: bool) -> None:
    assert equal(gold, answer) is expected


@given(st.text(), st.text(r"\frac{}sqrt=/. 0125%", max_size=30))
def test_every_string_equals_itself_and_order_does_not_matter(a: str, b: str) -> None:
    assert equal(a, a)
    assert equal(b, b)
    assert equal(a, b) == equal(b, a)
