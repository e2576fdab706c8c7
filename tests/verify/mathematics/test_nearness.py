import math

import pytest

from afterbase.verify.mathematics.algebra import Arithmetic
from afterbase.verify.mathematics.formula import value
from afterbase.verify.mathematics.nearness import differ, real


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (r"\sin^2 x + \cos^2 x", "1", False),
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}", False),
        (r"\sqrt{x^2}", "x", True),
        (r"\sin 1", "0.84147098480", True),
        (r"\sin(10^{-20}x)", "0", True),
        ("2^x", "x^2", True),
        (r"\arcsin(x+9)", r"\arcsin(x+10)", None),
        ("9^{9^{9^{9}}}", "1", True),
    ],
)
def test_far_apart_is_proof_and_near_is_none(one: str, other: str, expected: bool | None) -> None:
    a = Arithmetic()
    assert differ(value(one, a), value(other, a), a) is expected


def test_real_numbers_and_what_is_none() -> None:
    a = Arithmetic()
    assert real(value(r"\frac{\pi}{2} - \sqrt{2}", a), a) == pytest.approx(math.pi / 2 - math.sqrt(2))
    assert real(value("x", a), a) is None
    assert real(value("2i", a), a) is None
