"""Single answers, equal, different, undecided and hostile; properties of all are in `test_equivalence.py`."""

import pytest

from afterbase.verify.mathematics.equivalence import same

TRUE = [
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    (r"2\sqrt{3}", r"2\sqrt3."),
    (r"\frac{1}{2-\sqrt3}", r"2+\sqrt3"),
    (r"\{1, 2\}", r"\{2, 1\}"),
    (r"\{1,1,2\}", r"\{1,2\}"),
    ("2^{10}", "1024"),
    ("5!", "120"),
    (r"\binom{5}{2}", "10"),
    (r"\log_2 8", "3"),
    (r"\ln 2", r"\log 2"),
    (r"\sin 30^\circ", r"\frac12"),
    (r"\tan^{-1} 1", r"\frac{\pi}{4}"),
    (r"\cos\frac{\pi}{3}", "0.5"),
    (r"0.\overline{27}", r"\frac{3}{11}"),
    (r"12\text{ units}", "12"),
    (r"12 \text{ cm}^2.", "12"),
    (r"2 \text{ hours}", r"120 \text{ minutes}"),
    ("90^\\circ", r"\frac{\pi}{2}"),
    ("20\\%", "20"),
    ("3e8", r"3\cdot 10^{8}"),
    (r"\emptyset", r"\varnothing"),
    (r"\emptyset", r"\{\}"),
    (r"\pm 2", "2,-2"),
    (r"1\pm\sqrt{2}", r"1+\sqrt2, 1-\sqrt2"),
    ("2,3", r"2 \text{ and } 3"),
    ("2,3", "x=2 or x=3"),
    ("2,3", "x=2,3"),
    ("(2,3)", "x=2, y=3"),
    ("(2,3)", "(x,y)=(2,3)"),
    ("5", r"m\angle ABC = 5"),
    ("5", "2+3=5"),
    ("y=2x+1", "f(x)=2x+1"),
    ("y=2x+1", "2x+1"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\left(\begin{array}{cc}1&\frac42\\3&4\end{array}\right)"),
    (r"x \equiv 3 \pmod 5", r"3 \pmod{5}"),
    (r"3 \pmod 5", r"-2 \pmod 5"),
    (r"\overrightarrow{AB}", r"\vec{AB}"),
    (r"\mathbf{i}+2\mathbf{j}", r"2\mathbf{j}+\mathbf{i}"),
    ("L_{\\odot}", r"L_\odot"),
    ("101_2", "101_{2}"),
    ("47_{10}", "47"),
    ("2A_{16}", "2a_{16}"),
    (r"\text{Yes}", "yes."),
    (r"\text{June 20}", r"\text{June }20"),
    (r"\text{Alice and Bob}", "Bob and Alice"),
    ("C", r"\textbf{(C)}\ 5"),
    (r"\text{(B)}", "B"),
    ("5:30", r"5:30 \text{ p.m.}"),
    ("3:4", "6:8"),
    (r"\frac{1}{x}", "x^{-1}"),
    (r"\sin^2x", r"(\sin x)^2"),
    (r"\log_2 x", r"\frac{\ln x}{\ln 2}"),
    ("4^x", "2^{2x}"),
    (r"f(2) < f(1) < f(4)", "f(2)<f(1)<f(4)"),
    ("x+y>3", "3<y+x"),
    ("9^{9^9}", "3^{774840978}"),
    ("–5", "−5"),
    ("½", "0.5"),
    (r"{6 \choose 3}", "20"),
    (r"\text{June 5}", "June 5th"),
    ("10!/(5!5!)", "252"),
    (r"\log_{10} 1000", "3"),
    ("x²", "x^2"),
    *[("50 cm", "0.5 m"), ("5 m", "5 meters"), (r"72\text{ km/h}", r"20\text{ m/s}"), ("1 L", r"1000\text{ cm}^3")],
    *[(r"5\text{ N}", r"5\ \mathrm{kg}\cdot\mathrm{m}/\mathrm{s}^2"), ("60 mph", "60 miles per hour")],
    *[(r"\$5", "5"), (r"\$5", "500 cents"), (r"\$1,000", r"\$1000.00"), ("£5", "5 pounds"), ("-\\$5", "\\$-5")],
    *[("30^\\circ", "30"), ("30^\\circ", r"\frac{\pi}{6}\text{ rad}"), (r"0\text{ rad}", "0^\\circ")],
    *[
        ("100 °C", "212 °F"),
        ("0^\\circ\\text{C}", r"273.15\text{ K}"),
        ("25°C", r"25\text{ degrees C}"),
        ("25°C", "25°"),
    ],
    *[(r"\pm x = 2", r"x = \pm 2"), (r"x \neq \pm 1", r"\mathbb{R}\setminus\{1,-1\}")],
    *[("]1,2[", "1<x<2"), ("]-\\infty;2]", "x \\le 2"), ("[1,2[", "[1,2)"), ("]1,2[\\cup]3,4[", r"(1,2)\cup(3,4)")],
    *[("|x|<1", "(-1,1)"), ("|x-2| \\le 3", "-1 \\le x \\le 5"), (r"|x|\geq 1", r"(-\infty,-1]\cup[1,\infty)")],
    *[(r"\text{DNE}", "does not exist"), (r"\text{DNE}", "The limit doesn't exist."), ("undefined", "not defined")],
    *[
        (r"\text{no solution}", "There are no solutions."),
        (r"\emptyset", "No solution"),
        ("nonnegative", "non-negative"),
    ],
    *[(r"\infty", "infinity"), (r"-\infty", r"\text{negative infinity}"), (r"(0,\infty)", "(0, infinity)")],
    *[(r"\frac13", "0.333..."), (r"\frac13", r"0.\dot{3}"), (r"\frac{3}{11}", "0.2727…"), ("1", "0.999...")],
    *[(r"\begin{cases} x=1 \\ y=2 \end{cases}", gold) for gold in ("x=1, y=2", "y=2, x=1", "(1,2)")],
    (r"\left\{\begin{aligned} x&=1, \\ y&=2 \end{aligned}\right.", "(1,2)"),
    (r"\left\{\begin{array}{l} x=1 \\ y=2 \end{array}\right.", "(1,2)"),
    *[(r"\mathbb{R}-\{0\}", r"x\ne 0"), (r"\text{all real numbers except }0", r"x\ne 0"), ("1:2", r"1\text{ to }2")],
    *[("3:30 pm", "15:30"), ("3 p.m.", "3:00 PM"), ("12:00 am", "0:00"), ("July 4, 1776", "4 July 1776")],
    *[(r"\begin{array}{l}x=1\\y=2\end{array}", "x=1, y=2"), ("x=2", r"x\in\{2\}")],
    *[("1.5 hours", "1 hour 30 minutes"), ("74 inches", "6 feet and 2 inches"), ("90 minutes", "1 h 30 min")],
    *[("5¢", "5 cents"), (r"\lVert v\rVert", r"\|v\|"), (r"\mathbb{R}\setminus {0}", r"x\ne 0"), ("2∶3", "2:3")],
    *[("10!!", "3840"), ("(n!)!", "(n!)!"), (r"1.5 x 10^3", "1500"), (r"\left.\frac12\right.", "0.5")],
]


FALSE = [
    *[(r"\$5", "€5"), ("£5", r"\$5"), (r"\$5", "5 euros"), (r"\$5", "5 kg"), ("£5", "€5"), ("5 cents", "5 dollars")],
    *[("30^\\circ", r"30\text{ rad}"), ("30 degrees", "30 radians"), (r"\frac{\pi}{6}", r"\frac{\pi}{6}^\circ")],
    *[("100 °C", "100 °F"), ("5°C", "5 K"), ("5 cm", "5 m"), ("5 kg", "5 m"), ("5%", "5 cm"), (r"\$5", "5%")],
    *[
        (r"5\text{ J}", r"5\text{ kJ}"),
        (r"5\text{ N}", r"5\text{ kg}"),
        (r"5\text{ V}", r"5\text{ A}"),
        ("5 g/mL", "5 g/L"),
    ],
    *[(r"5\text{ m/s}", r"5\text{ m/s}^2"), ("5 miles per hour", "5 kilometers per hour")],
    *[("x=2", r"\pm x=2"), (r"\pm x = 2", "x=2"), (r"y=\pm x", "y=x")],
    *[(r"\text{even}", r"-(\text{even})"), ("even", "-even"), ("True", "!True"), (r"\text{No}", r"\text{No solution}")],
    *[("♠5", "♥5"), (r"p \land q", r"p \lor q"), ("p ∧ q", "p ∨ q")],
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}2&1\\3&4\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1,2\end{pmatrix}"),
    *[("]1,2[", "[1,2["), ("]1,2[", "[1,2]"), ("|x|<1", r"|x|\le 1"), ("|x|<1", "|y|<1"), ("|x|<1", "(-1,1]")],
    *[(r"x\in[1,2]", r"y\in[1,2]"), (r"x\in[1,2]", "1<x<2"), (r"\mathbb{R}\setminus\{0\}", r"\{0\}")],
    *[(r"\text{DNE}", "exists"), ("DNE", r"\infty"), ("no solution", "0"), (r"\emptyset", "infinitely many solutions")],
    *[(r"\infty", r"-\infty"), (r"\frac13", "0.333"), (r"\frac13", "0.3334..."), (r"\sqrt2", "1.414...")],
    (r"\begin{cases} x=1 \\ y=2 \end{cases}", "x=2, y=1"),
    *[
        ("3:30 pm", "3:30 am"),
        ("15:30", "3:30 am"),
        ("3 pm", "3 am"),
        ("July 4", "August 4"),
        ("July 4, 1776", "July 4, 1777"),
    ],
    *[("x=2", r"x\equiv 2"), (r"a \parallel b", r"a \perp b"), ("x=2", r"x\in\{2,3\}")],
    *[("ABC", "ACB"), (r"\angle ABC", r"\angle ACB"), (r"\text{True, False}", r"\text{False, True}")],
    *[
        ("2", "2 hours 30 minutes"),
        ("6 feet 2 inches", "6 feet 3 inches"),
        ("3 cm and 5 cm", "8 cm"),
    ],
    *[("10!!", "(10!)!"), ("720", "3!!"), ("n!!", "n!"), ("(n!)!", "n!!")],
    (r"\frac13", "0.333333333"),
    (r"\sqrt2", "1.41421356"),
    (r"\pi", "3.14159"),
    ("20\\%", "0.2"),
    ("2", "2,2"),
    ("2,3", "(2,3)"),
    ("2,3", "2"),
    ("6", "6 feet 2 inches"),
    ("2 \\text{ hours}", "2 \\text{ minutes}"),
    ("2 \\text{ m}", "2 \\text{ m}^2"),
    ("144", r"12\text{ cm}^2"),
    ("204_5", "204_7"),
    ("101_2", "5"),
    ("101_2", "101"),
    (r"\gamma", r"\Gamma"),
    ("I^2", "I^3"),
    ("2s", "2d"),
    ("x=5", "y=5"),
    ("5", "4=5"),
    ("10", "2x=10"),
    (r"\emptyset", r"\{0\}"),
    (r"\{\{1,2\},3\}", r"\{1,2,3\}"),
    (r"\frac{1}{52!}", r"\frac{1}{51!}"),
    ("2^{1000}", "2^{1000}+1"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    ("9:15", "9.15"),
    ("5:30 \\text{ a.m.}", "5:30 \\text{ p.m.}"),
    ("3:5", "5:3"),
    (r"\text{Yes}", "No"),
    (r"\text{June 20}", r"\text{June 21}"),
    ("a^b", "b^a"),
    ("x^2+C", "x^2"),
    (r"\sqrt{x^2}", "x"),
    ("3.5", "3,5"),
    ("1", "1/0"),
    ("1", "9^{9^{9^9}}"),
    ("1", "99999999!"),
    ("3 \\pmod 5", "3 \\pmod 7"),
]


@pytest.mark.parametrize(("gold", "answer"), TRUE)
def test_equal(gold: str, answer: str) -> None:
    assert same(gold, answer) is True


@pytest.mark.parametrize(("gold", "answer"), FALSE)
def test_different(gold: str, answer: str) -> None:
    assert same(gold, answer) is False


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        (r"\int_0^1 x\,dx", r"\frac12"),
        (r"\sum_{k=1}^n k", r"\frac{n(n+1)}{2}"),
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
        (r"\sin^2 x+\cos^2 x", "1"),
        (r"\sqrt{x^2}", "|x|"),
        (r"\frac{\pi}{2}", r"1/2\pi"),  # or half of 1/pi
        ("", "1"),
        ("", ""),
    ],
)
def test_what_others_have_to_decide(gold: str, answer: str) -> None:
    assert same(gold, answer) is None


ROOTS = "+".join(f"\\sqrt{{{p}}}" for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31))


@pytest.mark.parametrize(
    "hostile",
    [
        *["9" * 100_000, "9" * 1000, "(" * 1000, "{" * 10_000, "(" * 490 + "1" + ")" * 490],
        *[r"\frac{" * 160, r"\sqrt" * 199 + "2", "9^{9^{9^{9}}}", "9^" * 400 + "9", "10^{10^{10^{10}}}"],
        *["9" * 900 + "!", "3" + "!" * 900, "(2500!)^{100}", "2500!" * 150, "(a+b+c+d+e+f)^{50}"],
        *["(1+x)^{60}(1+y)^{60}(1+z)^{60}", f"({ROOTS})^{{40}}", f"1/({ROOTS})^{{30}}", "1/3+" * 240 + "1"],
        *["1e999999999", "1e" + "9" * 900, "1" + " " * 998 + "2", " 1" * 499, "1," * 499, "1=" * 499 + "1"],
        *["½" * 500, "²" * 900, r"\sin(" * 140, r"2^{" * 200 + "x" + "}" * 200],
        *[r"1+\frac{1}{" * 70 + "x" + "}" * 70, r"\sqrt{" + "7" * 900 + "}", r"\{" * 450 + r"\}" * 50],
        *[r"\begin{pmatrix}" + r"1&2\\" * 150 + r"\end{pmatrix}", "i^{" + "9" * 900 + "}", "x^{" + "9" * 900 + "}"],
        *[r"\pm" * 300, "5 " + "abe " * 240, "1<" * 499 + "1", r"(1,2)\cup" * 110 + "(3,4)", "\x00" * 500],
        *["\\" * 999, "_" * 999, "text{" * 190],
    ],
)
def test_hostile_answers_are_bounded_and_never_right(hostile: str) -> None:
    for gold in ("5", "x^2+1", "(1,2)", r"\text{Yes}", "x>2"):
        assert same(gold, hostile) in (False, None)
        assert same(hostile, gold) in (False, None)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("x=2", r"\neq x=2"),
        ("x=2", r"\not= x=2"),
        ("3", r"\not 3"),
        ("5", r"\lnot 5"),
        ("x^2+1", r"\not x^2+1"),
        (r"x \in A", r"x \not\in A"),
        (r"x \in A", r"x \notin A"),
        (r"x \subseteq A", r"x \nsubseteq A"),
        (r"\int x dx", r"\neq \int x dx"),
        (r"\int x dx", r"≠ \int x dx"),
        ("x<3", r"x \not< 3"),
    ],
)
def test_who_says_the_contrary_is_never_right(gold: str, answer: str) -> None:
    assert {same(gold, answer), same(answer, gold)} == {False}
    assert same(answer, answer)


@pytest.mark.parametrize(
    "answer", [r"\nu \int x dx", r"\nabla \int x", r"\negthinspace \int x dx", r"\int x dx + \notaword"]
)
def test_what_only_begins_like_a_negation_is_none(answer: str) -> None:
    assert same(r"\int x dx", answer) is None
