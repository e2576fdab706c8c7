import string
from fractions import Fraction
from typing import Any

import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from afterbase.verify.mathematics.equivalence import same

LETTERS = string.ascii_letters
letters = st.sampled_from(LETTERS)
small = st.integers(-30, 30)
positive = st.integers(1, 30)


def both(a: str, b: str) -> set[bool | None]:
    """The verdicts in both directions."""
    return {same(a, b), same(b, a)}


def _spellings(value: Fraction) -> list[str]:
    above, below, sign = abs(value.numerator), value.denominator, "-" if value < 0 else ""
    out = [f"{sign}{above}/{below}", f"{sign}\\frac{{{above}}}{{{below}}}", f"\\dfrac{{{sign}{above}}}{{{below}}}"]
    out += [
        f"\\tfrac{{{2 * value.numerator}}}{{{2 * below}}}",
        f"x = {sign}{above}/{below}.",
        f"\\left({value}\\right)",
    ]
    if above < 10 and below < 10:
        out.append(f"{sign}\\frac{above}{below}")
    if above > below > 1:
        out.append(f"{sign}{above // below}\\frac{{{above % below}}}{{{below}}}" if above % below else f"{value}")
        out.append(f"{sign}{above // below} {above % below}/{below}" if above % below else f"{value}")
    if below == 1:
        out += [
            f"{value}.0",
            f"{value}.",
            f"{int(value):,}".replace(",", "{,}"),
            f"{value}\\text{{ cm}}",
            f"{value}^\\circ",
        ]
    return out


@given(st.fractions(-1000, 1000, max_denominator=50), st.data())
def test_a_rational_equals_itself_in_every_spelling_and_no_other(value: Fraction, data: st.DataObject) -> None:
    a, b = (data.draw(st.sampled_from(_spellings(value))) for _ in range(2))
    other = data.draw(st.fractions(-1000, 1000, max_denominator=50).filter(lambda fraction: fraction != value))
    assert both(a, b) == {True}
    assert both(a, data.draw(st.sampled_from(_spellings(other)))) == {False}


@given(st.integers(1, 10**12), st.sampled_from([",", " ", "\\,", "\\ ", "{,}", ",\\!", "\\;", "~"]))
def test_thousands_are_grouped_by_commas_and_spaces(n: int, between: str) -> None:
    assert same(str(n), f"{n:,}".replace(",", between)) is True
    assert same(str(n + 1), f"{n:,}".replace(",", between)) is False


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from([" ", "\\ ", "\\,", "~", "\\quad ", "\\; "]))
def test_two_numbers_side_by_side_are_no_number(a: int, b: int, space: str) -> None:
    for gold in (a + b, a * b, a, b, int(f"{a}{b}")):
        assert both(str(gold), f"{a}{space}{b}") == {False}


@pytest.mark.parametrize("v", LETTERS)
def test_every_letter_is_a_letter(v: str) -> None:
    assert both(f"3{v}", f"3 {v}") == both(f"-{v}", f"- {v}") == both(f"x{v}", f"x {v}") == {True}
    assert both(f"2+{v}", f"{v} + 2") == both(f"\\frac{{{v}}}{{2}}", f"\\frac12 {v}") == both(f"{v}=3", "3") == {True}
    for other in (f"3{v}", f"3 {v}", f"3{v}^2", f"3\\,{v}", f"3+{v}"):
        assert both("3", other) == {False}
    assert both(f"{v}^2", f"{v}^3") == {False}


@given(letters, letters, st.integers(1, 99))
def test_different_letters_are_different(a: str, b: str, n: int) -> None:
    assume(a != b)
    assert both(f"{n}{a}", f"{n}{b}") == both(f"{n}\\{'alpha'}", f"{n}{b}") == {False}
    assert both(f"{a}_1", f"{a}_2") == both(f"{a}_{{{n}}}", f"{b}_{{{n}}}") == {False}


@given(st.integers(-400, 400), st.integers(-400, 400), st.integers(1, 9), st.sampled_from(["pow", "decimal", "factor"]))
def test_sizes_are_compared_exactly_however_tiny_or_huge(m: int, n: int, digit: int, form: str) -> None:
    def spelt(k: int) -> str:
        if form == "pow":
            return f"\\frac{{{digit}}}{{2^{{{k}}}}}"
        return f"{digit}.5e{k}" if form == "decimal" else f"{digit} \\times 10^{{{k}}}"

    assert both(spelt(m), spelt(n)) == {m == n}


@given(st.integers(2, 2000), st.integers(1, 10**6), st.integers(1, 10**6))
def test_one_digit_far_behind_makes_another_number(places: int, a: int, b: int) -> None:
    assume(places < 900)
    assert both(f"{a}.{'0' * places}{b}", f"{a}.{'0' * places}{b}1") == {False}
    assert both(f"{a}{'0' * places}", f"{a}{'0' * places}1") == {False}


values = st.one_of(
    small.map(str),
    st.builds(lambda a, b: f"\\frac{{{a}}}{{{b}}}", small, positive),
    st.builds(lambda a, r: f"{a}\\sqrt{{{r}}}", positive, positive),
    st.builds(lambda a, r, b: f"\\frac{{{a}\\sqrt{{{r}}}}}{{{b}}}", positive, positive, positive),
    st.builds(lambda a, b: f"\\frac{{{a}}}{{{b}+\\sqrt{{2}}}}", positive, positive),
    st.builds(lambda a: f"{a}\\pi", positive),
    st.builds(lambda a, b: f"{a} + {b}i", small, positive),
    st.builds(lambda a, b: f"{a} - \\sqrt{{{b}}}", small, positive),
    st.builds(lambda a, b: f"{a}\\log_2 {b}", positive, positive),
    st.builds(lambda a, b: f"\\sqrt[3]{{{a}}} + {b}", positive, positive),
)


def _sympy(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy

    expression: Any = latex2sympy(text)
    return expression.subs(sympy.Symbol("i"), sympy.I)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_constants_are_told_apart_as_sympy_does(gold: str, answer: str) -> None:
    difference = abs(sympy.N(_sympy(gold) - _sympy(answer), 50))
    assert both(gold, answer) == {bool(difference < 1e-40)}


@given(st.lists(values, min_size=1, max_size=4), st.data())
def test_lists_and_sets_have_no_order_and_points_have_one(items: list[str], data: st.DataObject) -> None:
    mixed = data.draw(st.permutations(items))
    assert both(", ".join(items), " , ".join(mixed)) == both(f"\\{{{','.join(items)}\\}}", ", ".join(mixed)) - {None}
    assert both(f"({', '.join(items)})", f"\\left({','.join(items)}\\right)") == {True}
    assert False in both(", ".join([*items, "77"]), ", ".join(items))
    if len(items) > 1 and all(same(items[0], item) is False for item in items[1:]):
        assert both(f"({', '.join(items)})", f"({', '.join([*items[1:], items[0]])})") == {False}


def _regions(low: int, high: int) -> list[tuple[str, str]]:
    """The same sets as intervals and as conditions."""
    return [
        (f"({low},{high})", f"{low}<x<{high}"),
        (f"[{low},{high}]", f"{low} \\le x \\le {high}"),
        (f"[{low},{high})", f"\\{{x \\mid {low} \\leq x < {high}\\}}"),
        (f"({low},\\infty)", f"x > {low}"),
        (f"(-\\infty,{low}]", f"{low} \\geq x"),
        (f"(-\\infty,{low}]", f"x\\le{low}"),
        (f"(-\\infty,{low}]", f"-x >= {-low}"),
        (f"(-\\infty,{low})\\cup({low},\\infty)", f"x\\neq {low}"),
        (f"(-\\infty,{low})\\cup[{high},\\infty)", f"x \\geq {high} \\text{{ or }} x<{low}"),
        (f"({low},{high})\\cup({high},{high + 2})", f"({high},{high + 2}) U ({low},{high})"),
        (f"\\mathbb{{R}}\\setminus\\{{{low}\\}}", f"x \\ne {low}"),
        (f"({low},{high}]", f"x\\in({low},{high}]"),
    ]


@given(small, positive)
def test_conditions_and_intervals_are_the_same_sets(low: int, width: int) -> None:
    regions = _regions(low, low + width)
    assert {verdict for gold, answer in regions for verdict in both(gold, answer)} == {True}
    for (gold, _), (_, answer) in zip(regions, _regions(low - 1, low + width), strict=True):
        assert both(gold, answer) == {False}
    assert both(f"[{low},{low + width}]", f"({low},{low + width})") == both(f"x>{low}", f"x\\ge{low}") == {False}


@given(small, small, small, st.integers(2, 9))
def test_equations_are_the_same_up_to_a_factor_and_the_sides(a: int, b: int, c: int, k: int) -> None:
    assume(a and b)
    line = f"{a}x + {b}y = {c}"
    assert both(line, f"{c} = {b}y + {a}x") == both(line, f"{k * a}x + {k * b}y - {k * c} = 0") == {True}
    assert both(line, f"y = \\frac{{{c} - {a}x}}{{{b}}}") == {True}
    assert both(line, f"{a}x + {b}y = {c + 1}") == both(line, f"{a}x - {b}y = {c}") == {False}


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9))
def test_polynomials_are_multiplied_out(a: int, b: int, c: int) -> None:
    assert both(f"(x+{a})(x+{b})", f"x^2+({a + b})x+({a * b})".replace("+-", "-")) == {True}
    assert both(f"(x+{a})^3 y", f"(x+{a})^3 y + {c}") == {c == 0}
    assert both(f"\\frac{{{a}}}{{x}} + {b}", f"\\frac{{{a}+{b}x}}{{x}}") == {True}


UNITS = [
    "cm",
    "km",
    "kg",
    "inches",
    "dollars",
    "apples",
    "square units",
    "miles per hour",
    "students",
    "m/s",
    "cubic feet",
]


SIZES = {  # units of one dimension, in whole numbers of the smallest
    "length": {"mm": 1, "cm": 10, "m": 1000, "kilometers": 10**6},
    "time": {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400},
    "mass": {"mg": 1, "g": 1000, "kg": 10**6},
    "money": {"cents": 1, "dollars": 100},
    "speed": {"mm/s": 1, "m/s": 1000, "km per second": 10**6},
}


@given(st.integers(1, 999), st.sampled_from(sorted(SIZES)), st.sampled_from(sorted(SIZES)), st.data())
def test_known_units_are_compared_by_size_and_dimension(n: int, kind: str, other: str, data: st.DataObject) -> None:
    a, b = (data.draw(st.sampled_from(sorted(SIZES[kind]))) for _ in range(2))
    c = data.draw(st.sampled_from(sorted(SIZES[other])))
    same_size = Fraction(n * SIZES[kind][a], SIZES[kind][b])
    gold = f"{n}\\text{{ {a}}}"
    assert both(gold, f"\\frac{{{same_size.numerator}}}{{{same_size.denominator}}}\\text{{ {b}}}") == {True}
    assert both(gold, f"{n}\\text{{ {b}}}") == {a == b}
    assert both(gold, f"{n + 1}\\text{{ {a}}}") == {False}
    if kind != other:
        assert both(gold, f"{n}\\text{{ {c}}}") == {False}


MONEY = {"\\$": "dollars", "€": "euros", "£": "pounds", "¥": "yen"}


@given(st.integers(1, 9999), st.sampled_from(sorted(MONEY)), st.sampled_from(sorted(MONEY)))
def test_currencies_are_different(n: int, one: str, other: str) -> None:
    for right in (f"{one}{n}", f"{n}{one}", f"{n} {MONEY[one]}"):
        assert both(right, str(n)) == both(right, f"{one}{n}.00") == {True}
        for got in (f"{other}{n}", f"{n}\\text{{ {MONEY[other]}}}"):
            assert both(right, got) == {one == other}


@given(st.integers(-360, 720).filter(bool), st.integers(-360, 720).filter(bool))
def test_degrees_and_radians(m: int, n: int) -> None:
    for radians in (f"\\frac{{{n}\\pi}}{{180}}", f"\\frac{{{n}\\pi}}{{180}}\\text{{ rad}}"):
        assert both(f"{m}^\\circ", radians) == {m == n}
    assert both(f"{m}^\\circ", f"{m}\\text{{ rad}}") == {False}
    assert both(f"{m}^\\circ", f"{n}\\text{{ degrees}}") == both(f"{m}^\\circ", f"{n}") == {m == n}
    fahrenheit = Fraction(9 * m, 5) + 32
    assert both(f"{m}^\\circ\\text{{C}}", f"{fahrenheit.numerator}/{fahrenheit.denominator} °F") == {True}
    assert both(f"{m} °C", f"{n} °F") == {9 * m + 160 == 5 * n}


@given(
    st.lists(st.lists(small, min_size=2, max_size=3), min_size=2, max_size=2).filter(lambda m: len({*map(len, m)}) == 1)
)
def test_cells_of_a_matrix_have_an_order(rows: list[list[int]]) -> None:
    def spelt(cells: list[list[int]], name: str = "pmatrix") -> str:
        return rf"\begin{{{name}}}" + r" \\ ".join(" & ".join(map(str, row)) for row in cells) + rf"\end{{{name}}}"

    gold = spelt(rows)
    assert both(gold, spelt(rows, "bmatrix")) == {True}
    for other in (rows[::-1], [row[::-1] for row in rows], [list(column) for column in zip(*rows, strict=True)]):
        assert both(gold, spelt(other)) == {other == rows}


@given(small, positive, st.sampled_from(["()", "[]", "(]", "[)"]), st.sampled_from(["()", "[]", "(]", "[)"]))
def test_brackets_turned_outwards_and_the_size_of_a_difference(low: int, width: int, one: str, other: str) -> None:
    def outwards(brackets: str) -> str:
        return f"{brackets[0].replace('(', ']')}{low};{low + 2 * width}{brackets[1].replace(')', '[')}"

    assert both(f"{one[0]}{low},{low + 2 * width}{one[1]}", outwards(other)) == {one == other}
    sign = {"()": "<", "[]": r"\le"}.get(one)
    if sign is not None:
        assert both(outwards(other), f"|x-({low + width})|{sign}{width}") == {one == other}


@given(
    st.integers(1, 999),
    st.sampled_from(UNITS),
    st.sampled_from(["{n} {u}", "{n}\\text{{ {u}}}", "{n}\\ \\mathrm{{{u}}}"]),
)
def test_units_say_nothing_where_the_right_answer_has_none(n: int, unit: str, form: str) -> None:
    answer = form.format(n=n, u=unit)
    assert both(str(n), answer) == {True}
    assert both(str(n + 1), answer) == {False}


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


@given(st.text(r"0123456789.,+-*/^(){}[]|<>=_!:%\ fracsqtpiandorUmb", max_size=60), st.text(max_size=60))
def test_any_text_is_decided_or_not_but_never_an_error(gold: str, answer: str) -> None:
    assert {same(gold, answer), same(answer, gold)} <= {True, False, None}
    assert same(gold, gold) in (True, None)


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
    assert both(gold, answer) == {False}
    assert same(answer, answer)


@pytest.mark.parametrize(
    "answer", [r"\nu \int x dx", r"\nabla \int x", r"\negthinspace \int x dx", r"\int x dx + \notaword"]
)
def test_what_only_begins_like_a_negation_is_none(answer: str) -> None:
    assert same(r"\int x dx", answer) is None
