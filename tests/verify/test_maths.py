from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.sample import Status
from afterbase.sandbox.forks.fork_client import ForkLimits
from afterbase.verify import maths
from afterbase.verify.maths import Item, check_maths_many, number

integers = st.integers(-(10**12), 10**12)


def verdict(box: str, answer: str) -> tuple[Status, str]:
    judged = check_maths_many([Item(f"So the answer is \\boxed{{{box}}}", answer)])[0]
    assert judged.verifier == "maths"
    assert judged.value == (1.0 if judged.status is Status.OK else 0.0)
    return judged.status, judged.reason


OK, MISMATCH = (Status.OK, "match"), (Status.WRONG, "mismatch")


@given(integers, st.integers(0, 3))
def test_a_whole_number_in_every_spelling(n: int, zeros: int) -> None:
    sign, digits = ("-" if n < 0 else ""), str(abs(n))
    spellings = [f"{n:,}", f"{n:+}", f" {n} ", f"${n}$", f"{sign}{'0' * zeros}{digits}", f"{n}.{'0' * zeros}"]
    spellings += [f"x = {n}", f"{n:,}".replace(",", "{,}")]
    spellings += [f"{n}\\text{{ cm}}", f"\\${n}", f"{n}\\%", f"{n}.".replace("-", "−")]
    assert {verdict(box, str(n)) for box in spellings} == {OK}


@given(integers, integers)
def test_other_numbers_are_other_answers(n: int, m: int) -> None:
    assert verdict(str(m), str(n)) == (OK if m == n else MISMATCH)


@given(st.integers(-999, 999), st.integers(1, 999), st.integers(1, 9))
def test_fractions_are_exact_and_in_lowest_terms(above: int, below: int, factor: int) -> None:
    value = Fraction(above, below)
    n, d = value.numerator * factor, value.denominator * factor
    for text in (f"{n}/{d}", f"{'-' if n < 0 else ''}\\frac{{{abs(n)}}}{{{d}}}"):
        assert number(text) == (value if d > 1 and factor == 1 else None)
        assert verdict(text, text) == OK  # the right answer as it is written is right


@given(st.decimals(-1000, 1000, places=3))
def test_decimals_equal_their_fraction(value) -> None:
    assert verdict(str(value), str(Fraction(value))) == OK


@given(st.integers(0, 999), st.integers(1, 999))
def test_the_question_is_no_answer(a: int, b: int) -> None:
    sums = [(f"{a}+{b}", a + b), (f"{a}-{b}", a - b), (f"{a} \\times {b}", a * b), (f"{a * b}/{b}", a)]
    for question, answer in sums:
        assert verdict(question, str(answer)) == MISMATCH


@given(st.text(max_size=30))
def test_any_text_gets_a_verdict(text: str) -> None:
    assert check_maths_many([Item(text + "\\boxed{" + text, "12")])[0].status in (Status.OK, Status.WRONG)


@pytest.mark.parametrize(
    ("box", "answer", "expected"),
    [
        (r"12 \text{ cm}^2", "12", OK),
        (r"12\text{ cm} ^{2}.", "12", OK),
        (r"\text{12}", "12", OK),
        (r"\text{about }12\text{ m}", "12", OK),
        (r"1\,200", "1200", OK),
        ("1 200", "1200", OK),
        (r"5\text{ or }6", "56", MISMATCH),
        ("5 6", "56", MISMATCH),
        (r"5\;6", "56", MISMATCH),
        ("2 1/2", "21/2", MISMATCH),
        (r"12\text{ cm}^2", "122", MISMATCH),
    ],
)
def test_units_and_spaces_join_no_digits(box: str, answer: str, expected: tuple[Status, str]) -> None:
    assert verdict(box, answer) == expected


@pytest.mark.parametrize(
    ("box", "answer"),
    [
        *[("0.00001", "1e-05"), ("10^{-5}", "1e-05"), ("1e-05", "1e-05"), ("100000000000000000000", "1e+20")],
        *[("10^{20}", "1e+20"), ("42", "42.0"), ("1,000", "$1,000"), (r"50\%", "50%"), ("50", "50%"), ("2.50", "2.5")],
        *[(r"20\%", "0.2"), (r"20\%", "20"), ("0,5", "0.5"), (r"\dfrac12", r"\frac{1}{2}"), (r"\frac{-1}{2}", "-1/2")],
        *[("3 1/2", r"\frac{7}{2}"), (r"1\frac{1}{2}", "1.5"), (r"0.\overline{3}", r"\frac{1}{3}"), ("0.(3)", "1/3")],
        *[("5cm", "5"), ("30 degrees", "30"), (r"\textdollar 15", "15"), ("15€", "15"), ("4 hours", "4"), ("3rd", "3")],
        *[(r"3^{\text{rd}}", "3"), (r"1.5 \times 10^0", "1.5"), (r"10\,\mathrm{cm}", "10"), ("7 apples", "7")],
        *[(r"\theta=5", "5"), ("f(2)=5", "5"), (r"n \approx 5", "5"), ("AB=5", "5"), ("P(A)=5", "5"), ("5=x", "5")],
        *[("x_1=7", "7"), ("12+34=46", "46"), ("3:5", r"\frac{3}{5}"), ("−3", "-3"), ("３", "3"), ("½", "0.5")],
        *[("500 cents", r"\$5"), ("1000 m", r"1\text{ km}"), (r"\frac{\pi}{6}", r"30^\circ"), ("212 °F", "100 °C")],
        *[
            ("0.333...", r"\frac13"),
            (r"0.\dot{3}", "1/3"),
            ("1.5 x 10^3", "1500"),
            ("30", "30^\\circ"),
            *[("5 m", "5 meters"), ("90 minutes", "1 hour 30 minutes"), ("x=2", "x=2.0")],
        ],
        *[("2 million", "2000000"), (r"\boxed{5}", "5"), ("12 500", "12500"), ("12.", "12"), ("1{,}234", "1234")],
    ],
)
def test_a_number_is_evaluated_in_every_spelling(box: str, answer: str) -> None:
    assert verdict(box, answer) == OK


@pytest.mark.parametrize(
    ("box", "answer"),
    [
        *[
            ("0.2", r"20\%"),
            ("4=5", "5"),
            ("12+34", "46"),
            ("2x=10", "10"),
            ("5 6", "11"),
            ("5 6", "30"),
            ("5 6", "56"),
        ],
        *[
            ("€5", r"\$5"),
            ("5 m", "5 cm"),
            ("5 kg", r"5\text{ m}"),
            (r"30\text{ rad}", "30^\\circ"),
            *[("100 °F", "100 °C"), ("y=2", "x=2"), ("6 feet 3 inches", "6 feet 2 inches")],
        ],
        *[(r"\frac{\pi}{3}", "30^\\circ"), ("5 cm", r"5\%"), ("5%", "5 cm"), ("(0,5)", "0.5"), ("(1,234)", "1234")],
        *[("2 hours 30 minutes", "2"), (r"6\text{ feet } 2\text{ inches}", "6"), ("2 million", "2"), ("5 or 6", "5")],
        *[
            ("at least 5", "5"),
            ("half of 6", "6"),
            ("5 minus 2", "5"),
            ("not 5", "5"),
            ("5, 6", "5"),
            ("1e-06", "1e-05"),
        ],
        *[
            ("3.14", r"\pi"),
            ("9^{9^{9^{9}}}", "9"),
            ("9999999!", "1"),
            ("1e999999999", "1"),
            ("0/0", "0"),
            ("3:0", "3"),
        ],
    ],
)
def test_what_is_not_that_number_evaluated_is_wrong(box: str, answer: str) -> None:
    assert verdict(box, answer) == MISMATCH


@given(integers, st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), st.sampled_from(["", " "]))
def test_a_letter_beside_a_number_is_a_factor_and_no_unit(n: int, letter: str, space: str) -> None:
    assert verdict(f"{n}{space}{letter}", str(n)) == MISMATCH


def test_no_box_and_a_box_without_end() -> None:
    assert check_maths_many([Item("The answer is 4.", "4")])[0].reason == "no_box"
    assert verdict("1" * 1001, "4") == (Status.WRONG, "too_long")
    assert verdict("1/0", "4") == MISMATCH


@pytest.mark.parametrize(
    ("box", "answer", "expected"),
    [
        ("(x+1)^2", "x^2+2x+1", OK),
        ("(x+2)^2", "x^2+2x+1", MISMATCH),
        (r"\{2, 1\}", r"\{1, 2\}", OK),
        (r"\sqrt{8}", r"2\sqrt{2}", OK),
        (r"\frac{}\sqrt", r"2\sqrt{2}", MISMATCH),
        ("9^{9^{9^{9^9}}}", "x", MISMATCH),
        (r"\gamma = 4", r"\gamma = 3", MISMATCH),
        (r"\gamma = \frac{6x}{2}", r"\gamma = 3x", OK),
        (r"\gamma = \frac{6}{2}", r"\gamma = 3", MISMATCH),  # not evaluated
        (r"\sum_{k=1}^{n} k", r"\frac{n(n+1)}{2}", OK),
        (r"\int_0^1 x\,dx", r"\frac{\pi}{2}", MISMATCH),
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}", OK),
        (r"x\gamma + 1", r"1 + \gamma x", OK),
        (r"\Gamma(5) y", "24y", OK),
        (r"x \geq 1", r"x \neq 1", MISMATCH),  # sympy raises where it compares the two
        ("x", "", (Status.FAILED, "verifier_error")),  # the right answer itself cannot be read
    ],
)
def test_formulas_are_compared_by_worth(box: str, answer: str, expected: tuple[Status, str]) -> None:
    assert verdict(box, answer) == expected


def test_a_box_that_takes_for_ever_is_wrong_and_the_next_one_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(r"\int_0^1 2x\,dx + x + y - 1", "x+y") == OK  # the server is up and has read this answer
    with monkeypatch.context() as patch:
        patch.setattr(maths, "_BOX", ForkLimits(cpu_seconds=1, wall_seconds=60.0, memory_bytes=2 << 30))
        assert verdict(r"\int" + r"\frac{1}{1+" * 60 + "x" + "}" * 60 + "dx", "x+y") == (Status.WRONG, "timeout")
    assert verdict(r"\int_0^1 2x\,dx + x + y - 1", "x+y") == OK
