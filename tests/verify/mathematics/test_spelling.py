import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.mathematics.spelling import normal, respelled, spelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[
            ("12{,}500", "12,500"),
            ("12 500", "12500"),
            (r"12\,500", "12500"),
            ("5 6", "5 6"),
            ("3 100/200", "3 100/200"),
        ],
        *[(r"\dfrac12", r"\frac12"), (r"\left(1,2\right)", "(1,2)"), ("−5.", "-5"), (r"\$15", "$15"), ("x²", "x^{2}")],
        *[(r"\boxed{\boxed{7}}", "7"), (r"\text{Yes}.", r"\text{Yes}"), (r"\text{Yes}", "Yes"), ("½", r"\frac{1}{2}")],
        *[("30^{\\circ}", r"30^\circ"), (r"\mathrm{sin} x", r"\sin x"), ("１２", "12"), ("0.333...", r"0.333\ldots")],
        *[(r"\\frac{1}{2}", r"\frac{1}{2}"), ("5!", "5!")],
        *[("$5$", "5"), ("$$x$$", "x"), ("$15", "$15"), (r"$\$15$", "$15"), (r"\$x", "x"), (r"\textdollar 5", "$ 5")],
        *[("]1,2[", "(1,2)"), (r"[1;2[\cup]3,4]", r"[1;2)\cup(3,4]"), ("[1,2],[3,4]", "[1,2],[3,4]"), ("[1]", "[1]")],
        *[("-infinity", r"-\infty"), (r"(0,\text{infinity})", r"(0,\infty )"), ("to infinity", "to infinity")],
        *[("1.5 x 10^3", r"1.5\cdot 10^3"), (r"\left.x\right.", "x"), ("∧", r"\text{ and }")],
        *[("all real numbers except 0", r"\mathbb{R}\setminus\{0\}"), (r"\text{All reals}.", r"\mathbb{R}")],
    ],
)
def test_what_looks_alike_is_one_spelling(text: str, expected: str) -> None:
    assert spelled(text) == expected


@given(st.text(r"\ {},.;$~123abfractextleft()^_", max_size=80))
def test_any_text_has_a_spelling_and_tokens(text: str) -> None:
    assert isinstance(normal(spelled(text)), tuple)


def test_braces_around_one_token_and_spaces_are_no_tokens() -> None:
    assert normal("x_{1} + { y }") == normal("x_1+y")
    assert normal("x_{12}") != normal("x_1 2")


def test_rows_of_a_matrix_stay_apart_and_are_latex_again() -> None:
    text = r"\begin{pmatrix}1\\ 2\end{pmatrix}"
    assert normal(spelled(text)) == normal(spelled(r"\begin{pmatrix} 1 \\2 \end{pmatrix}"))
    assert r"\\" in respelled(text)
    assert respelled("20%") == r"20\%"
