import pytest

from afterbase.verify.mathematics.algebra import Arithmetic, MalformedError, UndecidedError
from afterbase.verify.mathematics.forms import (
    Collection,
    Comparison,
    Congruence,
    Equation,
    Form,
    Matrix,
    Ordered,
    Ratio,
    Reals,
    Value,
    as_region,
    read,
)
from afterbase.verify.mathematics.spelling import spelled


def form(text: str) -> Form:
    return read(spelled(text), Arithmetic())


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *[
            ("5", Value),
            ("5 cm", Value),
            ("(5)", Value),
            ("1, 2", Collection),
            (r"\{1,2\}", Collection),
            ("1 or 2", Collection),
        ],
        *[(r"\pm 2", Collection), ("(1,2)", Ordered), ("[1,2)", Ordered), ("x=5", Equation), ("x+y=5", Equation)],
        *[
            ("x>2", Reals),
            (r"x \neq 2", Reals),
            (r"(1,2)\cup(3,4)", Reals),
            (r"\{x|x>2\}", Reals),
            (r"\mathbb{R}", Reals),
        ],
        *[
            ("x<y", Comparison),
            (r"3 \pmod 5", Congruence),
            ("3:4", Ratio),
            (r"\begin{bmatrix}1\\2\end{bmatrix}", Matrix),
        ],
    ],
)
def test_each_text_has_its_kind(text: str, kind: type) -> None:
    assert isinstance(form(text), kind)


def test_names_units_and_the_number_of_items() -> None:
    assigned = form("x_1 = 7")
    assert isinstance(assigned, Equation)
    assert assigned.name == "x_1"
    both = form("x = 2, 3")
    assert isinstance(both, Equation)
    assert both.right == form("2, 3")
    assert form(r"\emptyset") == form(r"\{\}") == Collection((), braced=True)
    hours = form("2 hours")
    assert isinstance(hours, Value)
    assert hours.unit is not None
    assert hours.unit.dimension == "time"


def test_points_of_a_set_and_intervals_are_regions() -> None:
    a = Arithmetic()
    for text, intervals in ((r"\{1,2\}", 2), ("[1,2)", 1), ("x<2 or x>3", 2), ("x>2 and x<3", 1), (r"x \neq 1, 2", 3)):
        region = as_region(read(spelled(text), a), a)
        assert region is not None
        assert len(region) == intervals
    assert as_region(read("(1,2,3)", a), a) is None


@pytest.mark.parametrize("text", ["", ",", "(1,", "x=", "(1,2"])
def test_what_has_no_form(text: str) -> None:
    with pytest.raises((MalformedError, UndecidedError)):
        form(text)
