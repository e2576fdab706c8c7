r"""What kind of answer a text is: a value, a list or set, a point, an equation, a set of real numbers, a matrix.

`read` takes a spelled text apart from the outside to the inside; values are read by formula.py. A text that is of no
kind raises that module's errors.
"""

import re
from typing import NamedTuple

from afterbase.verify.mathematics.algebra import (
    Arithmetic,
    MalformedError,
    NoValueError,
    Quotient,
    Sum,
    TooLargeError,
    UndecidedError,
    rational,
)
from afterbase.verify.mathematics.conditions import MIRRORED, condition, infinite
from afterbase.verify.mathematics.formula import numeral, value
from afterbase.verify.mathematics.nearness import real
from afterbase.verify.mathematics.quantities import Unit
from afterbase.verify.mathematics.regions import (
    EVERYTHING,
    Bound,
    Interval,
    Region,
    complement,
    intersection,
    union,
)
from afterbase.verify.mathematics.sides import closes_last, equations, is_name, split
from afterbase.verify.mathematics.spelling import ROW, normal
from afterbase.verify.mathematics.units import descend, measured, summed


class Value(NamedTuple):
    """One value, with the unit it was given in; and its text, where a single letter at the end may be one."""

    value: Quotient
    unit: Unit | None = None
    percent: bool = False
    text: str = ""


class Collection(NamedTuple):
    """Several answers in any order: a list, a set in braces, both signs of a plus-minus."""

    items: tuple["Form", ...]
    braced: bool = False


class Ordered(NamedTuple):
    """A point, a vector or an interval."""

    brackets: str
    items: tuple["Form", ...]


class Reals(NamedTuple):
    """A set of real numbers, by conditions on a letter or (None) as such."""

    region: Region
    letter: str | None


class Equation(NamedTuple):
    """Two sides; `name` where the left one names what the right one is the value of."""

    name: str | None
    right: "Form"
    others: tuple[Quotient, ...]  # what else the right side was said to be equal to
    difference: Sum | None
    about: Quotient | None = None  # what it was said to be nearly


class Comparison(NamedTuple):
    """left < right or left <= right, with more than one letter or not linear, as the sum left - right; or !=."""

    sign: str
    difference: Sum


class Matrix(NamedTuple):
    rows: tuple[tuple["Form", ...], ...]


class Congruence(NamedTuple):
    residue: Quotient
    modulus: Quotient


class Ratio(NamedTuple):
    items: tuple[Quotient, ...]


Form = Value | Collection | Ordered | Reals | Equation | Comparison | Matrix | Congruence | Ratio

_DEEPEST = 12
_AND = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*and\s*,?\s*\}|(?<![a-zA-Z\\])and(?![a-zA-Z]))\s*")
_OR = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*or\s*,?\s*\}|(?<![a-zA-Z\\])or(?![a-zA-Z])|\\vee(?![a-zA-Z]))\s*")
_AND_SIGN, _OR_SIGN = "\x01", "\x02"
_JOINED = re.compile(r"(?<=[)\]}])\s*U\s*(?=[(\[\\])")
_UNEQUAL = {"!=": r"\neq ", "<=": r"\leq ", ">=": r"\geq ", "=<": r"\leq ", "\\not=": r"\neq ", "==": "="}
_COMPARED = ("<", ">", r"\leq", r"\geq", r"\neq")
_BUILDER = re.compile(r"\s*[a-zA-Z]\s*(?:\\in\s*\\mathbb\s*\{?\s*R\s*\}?\s*)?[|:]\s*(.*)", re.DOTALL)
_MEMBER = re.compile(r"\s*(?:\\forall\s*)?([a-zA-Z])\s*\\in(?![a-zA-Z])\s*(.*)", re.DOTALL)
_REALS = re.compile(r"\s*\\mathbb\s*\{?\s*R\s*\}?\s*")
_MATRIX = re.compile(
    r"\(?\[?\s*\\begin\{([pbB]?matrix|smallmatrix|array)\}(?:\s*\{[lcr|\s]*\})?(.*)\\end\{\1\}\s*\]?\)?", re.DOTALL
)
_WITHOUT = re.compile(r"(\\mathbb\s*(?:\{\s*R\s*\}|R))\s*(?:-|/)\s*(?=\\\{)")
_PLUS_MINUS = re.compile(r"\s*\\(?:pm|mp)(?![a-zA-Z])")
_RATIO = re.compile(r"(\d[\d.]*)\s*(?:\\text\s*\{\s*to\s*\}|\sto\s)\s*(\d[\d.]*)")
_MODULO = re.compile(
    r"(?:[^=]*?\\equiv)?\s*(.*?)\s*\(?\s*(?:\\pmod|\\bmod|\\mod|mod(?:ulo)?|\\text\s*\{\s*\(?mod(?:ulo)?\s*\})\s*"
    r"(?:\{\s*(.*?)\s*\}|(\w+))\s*\)?\s*"
)
_NUMERAL = re.compile(
    r"\(?([0-9A-Fa-f]+(?:\.\d+)?)\)?\s*_\s*(?:\{\s*(?:\\text\s*\{)?\s*(?:base )?\s*(\w+)\s*\}?\s*\}|(\d+))"
)
_EMPTY = re.compile(r"\s*(?:\\emptyset\s*|\\\{\s*(?:\\emptyset\s*)?\\\}|\{\s*\})\s*")


def read(text: str, arithmetic: Arithmetic) -> Form:
    """The form of a spelled text; UndecidedError, NoValueError or TooLargeError if it has none."""
    for written, sign in _UNEQUAL.items():
        text = text.replace(written, sign)
    text = _JOINED.sub(r" \\cup ", text)
    if "&" in text and r"\begin" not in text:  # where it parts the cells of a row
        text = text.replace("&", _AND_SIGN)
    if "R" in text:
        text = _WITHOUT.sub(r"\1\\setminus ", text)
    return _Forms(arithmetic).form(_OR.sub(_OR_SIGN, _AND.sub(_AND_SIGN, text)), 0)


class _Forms:
    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic

    def form(self, text: str, depth: int) -> Form:
        text = text.strip()
        if depth > _DEEPEST:
            raise TooLargeError
        if not text:
            raise MalformedError
        if _EMPTY.fullmatch(text):
            return Collection((), braced=True)
        if r"\begin" in text:
            rows = equations(text, ROW)
            if rows:
                return self._listed(rows, [_AND_SIGN], depth)
            matrix = _MATRIX.fullmatch(text)
            if matrix:
                cells = [row.split("&") for row in matrix[2].split(ROW) if row.strip()]
                return Matrix(tuple(tuple(self.form(cell, depth + 1) for cell in row) for row in cells))
            if rows is not None:
                raise UndecidedError  # a function by cases
        parts, signs = split(text, ",", ";", _AND_SIGN, _OR_SIGN)
        if len(parts) > 1:
            return self._listed(parts, signs, depth)
        member = _MEMBER.fullmatch(text)
        if member:
            inner = self.form(member[2], depth + 1)
            region = as_region(inner, self._arithmetic)
            return inner if region is None else Reals(region, member[1])
        sets, signs = split(text, r"\cup", r"\cap", r"\setminus")
        if len(sets) > 1:
            return self._sets(sets, signs, depth)
        if "=" in text or "\\approx" in text:
            parts, signs = split(text, "=", r"\approx")
            if len(parts) > 1:
                return self._equation(parts, signs, depth)
        parts, signs = split(text, *_COMPARED)
        if len(parts) > 1 and r"\pm" in text and signs == [r"\neq"]:
            both = [text.replace(r"\pm", sign) for sign in ("+", "-")]
            return self._listed(both, [_AND_SIGN], depth)
        if len(parts) > 1:
            return self._compared(parts, signs)
        return self._single(text, depth)

    def _single(self, text: str, depth: int) -> Form:
        if _REALS.fullmatch(text):
            return Reals(EVERYTHING, None)
        if "to" in text and (ratio := _RATIO.fullmatch(text)) is not None:
            return Ratio((self._value(ratio[1]), self._value(ratio[2])))
        if "mod" in text and (modulo := _MODULO.fullmatch(text)) is not None and modulo[1]:
            return Congruence(self._value(modulo[1]), self._value(modulo[2] or modulo[3]))
        enclosed = self._enclosed(text, depth)
        if enclosed is not None:
            return enclosed
        if ":" in text:
            return Ratio(tuple(self._value(part) for part in split(text, ":")[0]))
        if r"\pm" in text or r"\mp" in text:
            if text.count(r"\pm") + text.count(r"\mp") > 4:
                raise UndecidedError
            upper = text.replace(r"\pm", "+").replace(r"\mp", "-")
            lower = text.replace(r"\pm", "-").replace(r"\mp", "+")
            return Collection((self._measured(upper), self._measured(lower)))
        return self._measured(text)

    def _enclosed(self, text: str, depth: int) -> Form | None:
        opening = "\\{" if text.startswith("\\{") else text[0]
        if opening not in ("(", "[", "\\{") or not text.endswith((")", "]", "\\}")) or not closes_last(text):
            return None
        inner = text[len(opening) : -2 if text.endswith("\\}") else -1]
        parts, _ = split(inner, ",", ";", _AND_SIGN)
        if opening == "\\{":
            builder = _BUILDER.fullmatch(inner)
            if builder:
                condition = self.form(builder[1], depth + 1)
                if isinstance(condition, Reals):
                    return condition._replace(letter=None)
                raise UndecidedError
            return Collection(_flat(self.form(part, depth + 1) for part in parts), braced=True)
        brackets = opening + text[-1]
        if len(parts) > 1:
            return Ordered(brackets, tuple(self.form(part, depth + 1) for part in parts))
        if brackets == "()" and any(sign in inner for sign in ("=", "<", ">", r"\leq", r"\geq", r"\cup", "\\{")):
            return self.form(inner, depth + 1)
        return Ordered(brackets, (self.form(inner, depth + 1),)) if brackets == "[]" else None

    def _listed(self, parts: list[str], signs: list[str], depth: int) -> Form:
        if not parts[0].strip():
            raise MalformedError
        items = [self.form(part, depth + 1) for part in parts if part.strip()]
        values = [item for item in items if isinstance(item, Value)]
        units = [item.unit for item in values if item.unit is not None]
        if len(units) == len(items) and set(signs) == {_AND_SIGN} and descend(units):
            return self._added(values)  # 1 hour and 30 minutes
        conditions = [item for item in items if isinstance(item, Reals)]
        if conditions and len({condition.letter for condition in conditions}) == 1:
            return self._conditions(items, signs)
        first = items[0]
        if isinstance(first, Equation) and first.name is not None:
            again = [item for item in items[1:] if not isinstance(item, Equation) or item.name == first.name]
            if len(again) == len(items) - 1:  # x = 2, 3 and x = 2 or x = 3
                rights = (item.right if isinstance(item, Equation) else item for item in items)
                return Equation(first.name, Collection(_flat(rights)), (), None)
        return Collection(_flat(items))

    def _conditions(self, items: list[Form], signs: list[str]) -> Form:
        """x < 2 or x > 5 is one or the other; x \\neq 2, 3 neither; with commas both, where both are possible."""
        regions: list[Region] = []
        letter = next(item.letter for item in items if isinstance(item, Reals))
        for item in items:
            if isinstance(item, Reals):
                regions.append(item.region)
            elif isinstance(item, Value) and letter is not None:
                regions.append(complement(union([self._point(item)])))
            else:
                raise UndecidedError
        both = regions[0]
        for region in regions[1:]:
            both = intersection(both, region)
        either = union([interval for region in regions for interval in region])
        if _OR_SIGN in signs or letter is None:
            return Reals(either, letter)
        return Reals(both if both or _AND_SIGN in signs else either, letter)

    def _sets(self, parts: list[str], signs: list[str], depth: int) -> Form:
        regions = []
        for part in parts:
            part = part.strip()
            if part.startswith("{") and part.endswith("}"):  # \setminus {0}
                part = rf"\{{{part[1:-1]}\}}"
            region = as_region(self.form(part, depth + 1), self._arithmetic)
            if region is None:
                raise UndecidedError
            regions.append(region)
        out = regions[0]
        for sign, region in zip(signs, regions[1:], strict=True):
            if sign == r"\cup":
                out = union([*out, *region])
            else:
                out = intersection(out, region if sign == r"\cap" else complement(region))
        return Reals(out, None)

    def _equation(self, parts: list[str], signs: list[str], depth: int) -> Form:
        if is_name(parts[-1]) and not is_name(parts[0]) and signs == ["="] and any(s.isdigit() for s in parts[0]):
            parts = parts[::-1]  # 5 = x
        if len(parts) == 2 and (both := _PLUS_MINUS.match(parts[0])) is not None and is_name(parts[0][both.end() :]):
            parts = [parts[0][both.end() :], rf"\pm({parts[1]})"]  # \pm x = 2
        name = "".join(normal(parts[0])) if is_name(parts[0]) else None
        exact = [part for part, sign in zip(parts[1:], signs, strict=True) if sign == "="]
        near = [part for part, sign in zip(parts[1:], signs, strict=True) if sign != "="]
        if len(near) > 1 or (near and signs[-1] == "="):
            raise UndecidedError
        if not exact and name is None:
            exact = [parts[0]]
        right = self.form(exact[-1] if exact else near[0], depth + 1)
        about = self._value(near[0]) if near and exact else None
        others = exact[:-1] if name is not None or exact[0] is parts[0] else [parts[0], *exact[:-1]]
        difference = None
        if len(parts) == 2 and isinstance(right, Value):
            try:
                left = self._value(parts[0])
                difference = self._arithmetic.difference(left, right.value)
            except (UndecidedError, NoValueError):
                if name is None:
                    raise
        return Equation(name, right, tuple(self._value(part) for part in others), difference, about)

    def _compared(self, parts: list[str], signs: list[str]) -> Form:
        sides = [self._value(part) for part in parts]
        out: list[Form] = []
        for left, sign, right in zip(sides, signs, sides[1:], strict=False):
            out.append(self._comparison(left, sign, right))
        reals = [one for one in out if isinstance(one, Reals)]
        if len(reals) == len(out) and len({one.letter for one in reals}) == 1:
            region = reals[0].region
            for one in reals[1:]:
                region = intersection(region, one.region)
            return Reals(region, reals[0].letter)
        return Ordered("<>", tuple(out)) if len(out) > 1 else out[0]

    def _comparison(self, left: Quotient, sign: str, right: Quotient) -> Form:
        solved = condition(left, sign, right, self._arithmetic)
        if solved is not None:
            return Reals(solved.region, solved.letter)
        if sign in (">", r"\geq"):
            left, sign, right = right, MIRRORED[sign], left
        return Comparison(sign, self._arithmetic.difference(left, right))

    def _point(self, item: Value) -> Interval:
        about = real(item.value, self._arithmetic)
        if about is None:
            raise UndecidedError
        return Interval(Bound(about, item.value), Bound(about, item.value), False, False)

    def _measured(self, text: str) -> Value:
        if (parts := summed(text)) is not None:
            return self._added([Value(self._value(number), unit) for number, unit in parts])
        said = measured(text)
        number = self._value(said.text)
        if said.factor != 1:
            number = self._arithmetic.multiplied(number, rational(said.factor))
        return Value(number, said.unit, said.percent, "" if said.unit or said.percent else said.text.strip())

    def _added(self, parts: list[Value]) -> Value:
        """6 feet 2 inches, in the first of the units."""
        a, first = self._arithmetic, parts[0].unit
        assert first is not None
        total = rational(0)
        for part in parts:
            size = part.unit.size / first.size if part.unit is not None else 0
            total = a.added(total, a.multiplied(part.value, rational(size)))
        return Value(total, first)

    def _value(self, text: str) -> Quotient:
        text = text.replace("$", "")
        digits = _NUMERAL.fullmatch(text.strip())
        if digits and (digits[1][0].isdigit() or digits[2] in ("16", "sixteen")):
            return numeral(digits[1], digits[2] or digits[3])
        return value(text, self._arithmetic)


def as_region(form: Form, arithmetic: Arithmetic) -> Region | None:
    """The set of real numbers that a form is, if it is one: (1,2) as an interval, {1, 2} as two points."""
    if isinstance(form, Reals):
        return form.region
    if isinstance(form, Ordered) and len(form.items) == 2 and form.brackets in ("()", "[]", "(]", "[)"):
        low, high = (_bound(item, arithmetic) for item in form.items)
        if low is None or high is None:
            return None
        is_open = form.brackets[0] == "(" or low.exact is None, form.brackets[1] == ")" or high.exact is None
        return union([Interval(low, high, *is_open)])
    if isinstance(form, Value):
        point = _bound(form, arithmetic)
        return None if point is None or point.exact is None else (Interval(point, point, False, False),)
    if isinstance(form, Collection):
        points = [_bound(item, arithmetic) for item in form.items]
        if any(point is None or point.exact is None for point in points):
            return None
        return union([Interval(point, point, False, False) for point in points if point is not None])
    return None


def _bound(item: Form, arithmetic: Arithmetic) -> Bound | None:
    if not isinstance(item, Value):
        return None
    end = infinite(item.value)
    if end is not None:
        return end
    about = real(item.value, arithmetic)
    return None if about is None else Bound(about, item.value)


def _flat(items) -> tuple[Form, ...]:
    out: list[Form] = []
    for item in items:
        out += item.items if isinstance(item, Collection) and not item.braced else [item]
    return tuple(out)
