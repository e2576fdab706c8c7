import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.verify.exact import same

small = st.integers(-30, 30)
positive = st.integers(1, 30)


def _fraction(above: int, below: int, form: int) -> str:
    sign = "-" if above < 0 else ""
    forms = [
        f"{above}/{below}",
        f"{sign}\\frac{{{abs(above)}}}{{{below}}}",
        f"{sign}\\dfrac{{{abs(above)}}}{{{below}}}",
    ]
    return forms[form % len(forms)]


numbers = st.one_of(
    small.map(str),
    st.builds(_fraction, small, positive, st.integers(0, 2)),
    st.builds(lambda a, r: f"{a}\\sqrt{{{r}}}", positive, positive),
    st.builds(lambda a, r, b: f"\\frac{{{a}\\sqrt{{{r}}}}}{{{b}}}", positive, positive, positive),
    st.builds(lambda a: f"{a}\\pi", positive),
    st.builds(lambda a, b: f"{a} + {b}i", small, positive),
    st.builds(lambda a, b: f"{a} - \\sqrt{{{b}}}", small, positive),
    st.decimals(-30, 30, places=2).map(str),
)
answers = st.one_of(
    numbers,
    st.lists(numbers, min_size=2, max_size=3).map(lambda parts: f"({', '.join(parts)})"),
    st.lists(numbers, min_size=2, max_size=3).map(", ".join),
)


def _by_math_verify(gold: str, answer: str) -> bool:
    from math_verify import parse, verify

    return verify(parse(f"${gold}$"), parse(f"${answer}$"))


@settings(max_examples=150, deadline=None)
@given(answers, answers)
def test_what_is_decided_is_what_math_verify_says(gold: str, answer: str) -> None:
    assert same(gold, answer) in (None, _by_math_verify(gold, answer))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
        (r"\sqrt{8}", r"2\sqrt2"),
        ("0.5", r"\frac12"),
        ("1,234", "1234"),
        ("(1,2)", r"\left( 1, 2 \right)"),
        ("3, 5, 7", "7, 5, 3"),
        (r"\{1, 2\}", r"\{2, 1\}"),
        ("1+2i", "2i + 1"),
        ("2^{10}", "1024"),
        ("90", r"90^\circ"),
        ("11", r"\$11"),
        ("5", "x = 5"),
        ("12", r"12\text{ units}"),
        ("12", r"12 \text{ cm}^2."),
        (r"12\text{ m}", r"12\mathrm{ m}^{2}"),
        ("(1, 2)", r"\left(1,\ 2\right)"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r" \begin{pmatrix} 1 \\ 2 \end{pmatrix} "),
        (r"\frac34", r"\frac{3}{4}"),
        ("2^{-1}", "0.5"),
    ],
)
def test_equal(gold: str, answer: str) -> None:
    assert same(gold, answer) is True
    assert _by_math_verify(gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("16", r"16\pi"),
        ("(1,2)", "(2,1)"),
        (r"\sqrt{51}", "51"),
        ("1+2i", "1-2i"),
        ("4", "-4"),
        ("3, 5", "3, 6"),
        ("144", r"12\text{ cm}^2"),
    ],
)
def test_different(gold: str, answer: str) -> None:
    assert same(gold, answer) is False
    assert not _by_math_verify(gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x+1", "1+x"),  # a variable
        ("1/3", "0.333333"),  # may be equal after rounding
        ("(1,3)", "1, 3"),  # a point, an interval or a list
        (r"1\frac{1}{2}", "1.5"),  # read as a product by some
        ("x=5", "y=5"),
        (r"\frac{\pi}{2}", r"1/2\pi"),  # or half of 1/pi
        ("(1,234)", "1234"),  # a point, or a number in brackets
        ("23", r"2\,3"),
        ("23", r"2^\circ 3"),
        ("23", r"2\text{ m}3"),
        ("8100", r"90^\circ^2"),
        ("5", r"2\text{ m} + 3"),
        ("1/0", "1"),
        (r"\sqrt{-4}", "2i"),  # math-verify does not know
        ("", "1"),
        ("", ""),
        (r"\frac{1}{1+\sqrt{2}}", r"\sqrt{2}-1"),
        ("9^{9^9}", "1"),
        ("9" * 300, "1"),
    ],
)
def test_what_others_have_to_decide(gold: str, answer: str) -> None:
    assert same(gold, answer) is None


@given(st.text(r"0123456789.,+-*/^(){}[]\ fracsqtpi", max_size=60), st.text(r"0123456789(){}\sqrt,", max_size=60))
def test_any_text_is_decided_or_not_but_never_an_error(gold: str, answer: str) -> None:
    assert same(gold, answer) in (True, False, None)
    assert same(gold, gold) in (True, None)
