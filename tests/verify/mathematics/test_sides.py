import pytest

from afterbase.verify.mathematics.sides import closes_last, equations, is_applied, is_name, split


def test_marks_in_brackets_do_not_split() -> None:
    assert split(r"(1,2),\{3,4\},f(5,6)", ",") == (["(1,2)", r"\{3,4\}", "f(5,6)"], [",", ","])
    assert split(r"x\leq y<z", "<", r"\leq") == (["x", " y", "z"], [r"\leq", "<"])


@pytest.mark.parametrize(
    "name",
    [
        *["x", "x_1", "x_{12}", r"\theta", "f(2)", "f^{-1}(x)", "f'(x)", "P(A)", "AB", r"m\angle ABC", r"\angle A"],
        *["x + y", r"\text{Area}", "(x, y)", "the area", r"\vec{v}", "|AB|"],
    ],
)
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("formula", ["2x", "x^2", "2+3", "x-1", "5", "", "x y z 1", "x" * 90])
def test_formulas_are_no_names(formula: str) -> None:
    assert not is_name(formula)


def test_brackets_that_close_each_other_and_functions() -> None:
    assert closes_last("(1)(2)") is False
    assert closes_last(r"\{(1),[2]\}") is True
    assert is_applied("f(x)")
    assert not is_applied("f(2)")


def test_rows_of_a_system_and_of_a_function_by_cases() -> None:
    assert equations(r"\begin{cases} x=1, | y=2 \end{cases}", "|") == ["x=1", "y=2"]
    assert equations(r"\{\begin{array}{rl} x&=1 | y&=2 \end{array}.", "|") == ["x =1", "y =2"]
    assert equations(r"\begin{cases} x & \text{if } x>0 | -x & \text{if } x<0 \end{cases}", "|") == []
    assert equations(r"\begin{array}{c} 1 | 2 \end{array}", "|") == []
    assert equations(r"\begin{pmatrix} x=1 \end{pmatrix}", "|") is equations("x=1", "|") is None
