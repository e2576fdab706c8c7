import pytest

from afterbase.verify.mathematics.equivalence import same
from afterbase.verify.mathematics.identity import agree


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\sin 2x", r"2\sin x\cos x"),
        (r"\cos 2x", r"1 - 2\sin^2 x"),
        (r"\tan x", r"\frac{\sin x}{\cos x}"),
        (r"\sin(x+y)", r"\sin x\cos y + \cos x\sin y"),
        (r"\sinh x", r"\frac{e^x - e^{-x}}{2}"),
        (r"\cos\theta + i\sin\theta", r"e^{i\theta}"),
        (r"e^{i\pi}", "-1"),
        (r"|3+4i|", "5"),
        ("n!", "n(n-1)!"),
        (r"\arctan\frac12 + \arctan\frac13", r"\frac{\pi}{4}"),
        (r"\sqrt[3]{2+\sqrt5} + \sqrt[3]{2-\sqrt5}", "1"),
        (r"\sqrt{3+2\sqrt2}", r"1+\sqrt2"),
        (r"\cos\frac{\pi}{5}", r"\frac{1+\sqrt5}{4}"),
    ],
)
def test_identities_are_seen_from_both_sides(one: str, other: str) -> None:
    assert same(one, other) is None  # not decided without it
    assert same(one, other, agree) is True
    assert same(other, one, agree) is True


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"e^{\pi\sqrt{163}}", "262537412640768744"),  # equal to 12 decimals
        (r"\sin x + 10^{-60}", r"\sin x"),
        (r"10^{50}\ln 2 + 1", r"10^{50}\ln 2"),
        ("x^x", "x^x + 10^{-90}"),
        (r"\ln(a+b)", r"\ln a + \ln b"),
        (r"\sin 2x", r"2\sin x"),
        (r"\sqrt{x^2}", "x"),
        (r"e^{10^9}", "e^{10^9} + 1"),
        (r"\ln 2 \cdot 10^{-15}", r"\ln 3 \cdot 10^{-15}"),
    ],
)
def test_what_is_only_near_is_another_value(one: str, other: str) -> None:
    assert same(one, other, agree) is False
    assert same(other, one, agree) is False


@pytest.mark.parametrize(
    ("one", "other"), [(r"\ln x", r"\ln |x|"), (r"\arcsin(x+9)", r"\arcsin(x+10)"), ("(-1)^n", r"\cos(n\pi)")]
)
def test_what_has_values_elsewhere_or_nowhere_is_not_decided(one: str, other: str) -> None:
    assert same(one, other, agree) is not True
