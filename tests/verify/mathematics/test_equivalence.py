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


def _spellings(value: Fraction, unit: str) -> list[str]:
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
            f"{value}{unit}",
        ]
    return out


@given(st.fractions(-1000, 1000, max_denominator=50), st.data())
def test_a_rational_equals_itself_in_every_spelling_and_no_other(value: Fraction, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(["\\text{ cm}", "^\\circ"]))  # two units are not equal
    a, b = (data.draw(st.sampled_from(_spellings(value, unit))) for _ in range(2))
    other = data.draw(st.fractions(-1000, 1000, max_denominator=50).filter(lambda fraction: fraction != value))
    assert both(a, b) == {True}
    assert both(a, data.draw(st.sampled_from(_spellings(other, unit)))) == {False}


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


@given(st.text(r"0123456789.,+-*/^(){}[]|<>=_!:%\ fracsqtpiandorUmb", max_size=60), st.text(max_size=60))
def test_any_text_is_decided_or_not_but_never_an_error(gold: str, answer: str) -> None:
    assert {same(gold, answer), same(answer, gold)} <= {True, False, None}
    assert same(gold, gold) in (True, None)
