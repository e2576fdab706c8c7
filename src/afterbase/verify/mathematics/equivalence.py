r"""Whether two answers have the same value, decided exactly, without evaluating text and without another program.

Both are brought to one spelling (spelling.py), taken apart (forms.py) and compared by value (algebra.py). Decimals are
what they say: 0.333 is not 1/3, and 1.6e-19 is not 1.7e-19. What is equal only as far as numbers can tell (\sqrt{3 +
2\sqrt2} and 1 + \sqrt2) is left to `decide` (identity.py, which takes longer); what the grammar does not reach
(integrals, sums over an index) is left undecided, for math-verify to say.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction

from afterbase.verify.mathematics.algebra import (
    PI,
    Arithmetic,
    MalformedError,
    NoValueError,
    Quotient,
    Sum,
    TooLargeError,
    UndecidedError,
    constant,
    is_number,
    rational,
    symbol,
    whole,
)
from afterbase.verify.mathematics.answer_words import same_words
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
from afterbase.verify.mathematics.formula import value
from afterbase.verify.mathematics.nearness import differ, real
from afterbase.verify.mathematics.quantities import KNOWN, RADIAN, Unit, alike
from afterbase.verify.mathematics.sides import is_applied
from afterbase.verify.mathematics.signs import denies, differ_in_connective, relations, same_letters
from afterbase.verify.mathematics.spelling import normal, spelled
from afterbase.verify.mathematics.units import measured, read_as_unit

MOST_CHARACTERS = 1000
_MOST_PAIRS = 1600
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_DECIMAL_COMMA = re.compile(r"-?(?:0,\d+|\d+,(?:\d\d|\d{4,}))")
_WHOLE = re.compile(r"-?\d+")
_HUNDREDTH = rational(Fraction(1, 100))


Decide = Callable[[Quotient, Quotient, Arithmetic], bool | None]
"""What says whether two values are equal that numbers cannot tell apart."""


def _undecided(_: Quotient, __: Quotient, ___: Arithmetic) -> None:
    return None


def same(gold: str, answer: str, decide: Decide = _undecided) -> bool | None:
    """Whether the two are worth the same; None where that is not for this module to say."""
    if max(len(gold), len(answer)) > MOST_CHARACTERS:
        return None
    right, got = spelled(gold), spelled(answer)
    if not right or not got:
        return None if not right else False
    if len(right) > 2 * MOST_CHARACTERS or len(got) > 2 * MOST_CHARACTERS:
        return False
    if normal(right) == normal(got):
        return True
    if _WHOLE.fullmatch(right) and _WHOLE.fullmatch(got):
        return int(right) == int(got)
    if differ_in_connective(gold, answer):
        return False
    by_words = same_words(right, got)
    if by_words is not None:
        return by_words
    by_letters = same_letters(right, got)
    if by_letters is not None:
        return by_letters
    verdicts = {_compared(one, other, decide) for one in _readings(right) for other in _readings(got)}
    return True if True in verdicts else None if None in verdicts else False


def _readings(text: str) -> list[str]:
    """1,234 may be one number or a list; 2,75 a decimal or a list."""
    out = [text]
    if "," in text:
        if not text.startswith(("(", "[", r"\{")):
            out.insert(0, _THOUSANDS.sub(lambda number: number.group().replace(",", ""), text))
        if _DECIMAL_COMMA.fullmatch(text):
            out.append(text.replace(",", "."))
    return list(dict.fromkeys(out))


def _compared(right: str, got: str, decide: Decide) -> bool | None:
    arithmetic = Arithmetic()
    try:
        expected = read(right, arithmetic)
    except UndecidedError:
        return _unread(right, got)
    except (NoValueError, TooLargeError):
        return False
    try:
        return _Comparer(arithmetic, decide).forms(expected, read(got, arithmetic))
    except (MalformedError, NoValueError, TooLargeError):
        return False
    except UndecidedError:
        return _unread(right, got)


def _unread(right: str, got: str) -> bool | None:
    """Texts that no grammar of ours reads: the same tokens without their units, or undecided.

    Who says the contrary is not heard by math-verify, which passes over signs that it does not know.
    """
    if normal(measured(right).text) == normal(measured(got).text):
        return True
    return False if denies(right) != denies(got) or relations(right) != relations(got) else None


class _Comparer:
    def __init__(self, arithmetic: Arithmetic, decide: Decide) -> None:
        self._arithmetic = arithmetic
        self._decide = decide

    def forms(self, right: Form, got: Form) -> bool | None:
        """The verdict by the kinds of the two; of other pairs of kinds none is the same."""
        right, got = _without_brackets(right), _without_brackets(got)
        if isinstance(right, Equation) or isinstance(got, Equation):
            return self._equations(right, got)
        if isinstance(right, Reals) or isinstance(got, Reals):
            return self._reals(right, got)
        match right, got:
            case Value(), Value():
                return self._measured(right, got)
            case Collection(), Collection():
                return self._collections(right, got)
            case (Collection(items), Ordered("()", others)) | (Ordered("()", others), Collection(items)):
                return self._assigned(items, others)
            case Ordered(), Ordered() if right.brackets == got.brackets:
                return self._in_order(right.items, got.items)
            case Matrix(), Matrix() if [len(row) for row in right.rows] == [len(row) for row in got.rows]:
                return _all([self._in_order(a, b) for a, b in zip(right.rows, got.rows, strict=True)])
            case Congruence(), Congruence():
                return self._congruent(right, got)
            case Comparison(), Comparison() if right.sign == got.sign:
                same, ratio = self._proportional(right.difference, got.difference)
                return same if not same or right.sign == r"\neq" or (ratio or 0) > 0 else False
            case Ratio(), Ratio():
                return self._ratios(right, got)
            case (Ratio(items), Value(number)) | (Value(number), Ratio(items)) if len(items) == 2:
                return self.values(self._arithmetic.divided(*items), number)
            case _:
                return False

    def values(self, a: Quotient, b: Quotient) -> bool | None:
        """Equal for certain, different for certain, or undecided."""
        if not self._arithmetic.difference(a, b):
            return True
        if self._arithmetic.is_plain(a) and self._arithmetic.is_plain(b):
            return False
        return False if differ(a, b, self._arithmetic) else self._decide(a, b, self._arithmetic)

    def _measured(self, right: Value, got: Value) -> bool | None:
        """With units: 20 for 20\\% and the other way, 20\\% for 0.2, 2 hours for 120 minutes, 30 degrees for \\pi/6."""
        right, got = self._with_unit(right, got), self._with_unit(got, right)
        if (right.percent and got.unit) or (got.percent and right.unit):
            return False
        a, b = right.value, got.value
        if right.unit and got.unit:
            same_kind = alike(right.unit, got.unit)
            if same_kind is False:
                return False
            if same_kind:
                a, b = self._sized(a, right.unit), self._sized(b, got.unit)
        elif right.unit == KNOWN["degree"] and _has_pi(b):
            b = self._sized(b, RADIAN)
        elif got.unit == KNOWN["degree"] and _has_pi(a):
            a = self._sized(a, RADIAN)
        verdict = self.values(a, b)
        if verdict is False and got.percent and not right.percent:
            return self.values(a, self._arithmetic.multiplied(b, _HUNDREDTH))
        return verdict

    def _with_unit(self, one: Value, other: Value) -> Value:
        """5 m as five metres, if the other is in a unit of length."""
        if one.unit is not None or other.unit is None or not one.text:
            return one
        found = read_as_unit(one.text)
        if found is None or not alike(found[1], other.unit):
            return one
        try:
            return Value(value(found[0], self._arithmetic), found[1])
        except (NoValueError, UndecidedError):
            return one

    def _sized(self, number: Quotient, unit: Unit) -> Quotient:
        """What the number of such units is in what is fundamental, radians in degrees."""
        a = self._arithmetic
        out = a.added(a.multiplied(number, rational(unit.size)), rational(unit.zero))
        return a.divided(out, symbol(PI)) if unit == RADIAN else out

    def _in_order(self, right: Sequence[Form], got: Sequence[Form]) -> bool | None:
        if len(right) != len(got):
            return False
        return _all([self.forms(a, b) for a, b in zip(right, got, strict=True)])

    def _collections(self, right: Collection, got: Collection) -> bool | None:
        """The same answers as often, in any order; in braces, how often does not matter."""
        if right.braced and got.braced:
            right, got = self._distinct(right), self._distinct(got)
        if len(right.items) != len(got.items):
            return False
        plain = [[_rational(item) for item in side.items] for side in (right, got)]
        if None not in plain[0] and None not in plain[1]:
            return Counter(plain[0]) == Counter(plain[1])
        if len(right.items) ** 2 > _MOST_PAIRS:
            return None
        left = list(got.items)
        undecided = False
        for item in right.items:
            verdicts = [self.forms(item, other) for other in left]
            if True in verdicts:
                del left[verdicts.index(True)]
            elif None in verdicts:
                undecided = True
            else:
                return False
        return None if undecided else True

    def _distinct(self, side: Collection) -> Collection:
        if len(side.items) ** 2 > _MOST_PAIRS:
            return side
        out: list[Form] = []
        for item in side.items:
            if not any(self.forms(item, other) for other in out):
                out.append(item)
        return Collection(tuple(out), braced=True)

    def _assigned(self, items: Sequence[Form], others: Sequence[Form]) -> bool | None:
        """x = 2, y = 3 is the point (2, 3)."""
        named = [item for item in items if isinstance(item, Equation) and item.name is not None]
        if len(named) != len(items) or len(named) != len(others) or len({item.name for item in named}) != len(named):
            return False
        named.sort(key=lambda item: item.name or "")
        return self._in_order([item.right for item in named], others)

    def _equations(self, right: Form, got: Form) -> bool | None:
        if isinstance(right, Equation) and isinstance(got, Equation):
            names = right.name, got.name
            if None not in names and (names[0] == names[1] or _function_and_letter(*names)):
                return self._answers(right, got)
            if right.difference is None or got.difference is None:
                if right.name is None and got.name is None:
                    return self._answers(right, got)
                return self._answers(right, got) if None in names else False
            return self._proportional(right.difference, got.difference)[0]
        if isinstance(right, Equation):
            if right.name is None and not self._is_sum(right):
                return False
            return _all([self.forms(right.right, got), *self._consistent(right)])
        assert isinstance(got, Equation)
        if got.name is None and not self._is_sum(got):
            return False
        return _any([_all([self.forms(right, got.right), *self._consistent(got)]), self._nearly(right, got)])

    def _answers(self, right: Equation, got: Equation) -> bool | None:
        return _all([self.forms(right.right, got.right), *self._consistent(got)])

    def _is_sum(self, equation: Equation) -> bool:
        """Whether nothing but numbers stands left: 2 + 3 = 5."""
        values = [*equation.others, *([equation.right.value] if isinstance(equation.right, Value) else [])]
        return bool(values) and not any(_letters(part, self._arithmetic) for one in values for part in one)

    def _consistent(self, equation: Equation) -> list[bool | None]:
        """What else was said to equal the answer has to: 4 = 5 answers nothing."""
        if not isinstance(equation.right, Value):
            return []
        return [self.values(value, equation.right.value) for value in equation.others]

    def _nearly(self, right: Form, got: Equation) -> bool | None:
        r"""x = \frac{22}{7} \approx 3.143 gives 3.143 too."""
        if got.about is None or not isinstance(right, Value) or not isinstance(got.right, Value):
            return False
        about, exact = real(got.about, self._arithmetic), real(got.right.value, self._arithmetic)
        if about is None or exact is None or abs(about - exact) > 0.01 * abs(exact):
            return False
        return self.values(right.value, got.about)

    def _reals(self, right: Form, got: Form) -> bool | None:
        a, b = as_region(right, self._arithmetic), as_region(got, self._arithmetic)
        if a is None or b is None or len(a) != len(b):
            return False
        letters = {side.letter for side in (right, got) if isinstance(side, Reals)} - {None}
        if len(letters) > 1:
            return False
        verdicts: list[bool | None] = []
        for one, other in zip(a, b, strict=True):
            if (one.low_open, one.high_open) != (other.low_open, other.high_open):
                return False
            for x, y in ((one.low, other.low), (one.high, other.high)):
                if x.exact is None or y.exact is None:
                    verdicts.append(x.about == y.about)
                else:
                    verdicts.append(self.values(x.exact, y.exact))
        return _all(verdicts)

    def _congruent(self, right: Congruence, got: Congruence) -> bool | None:
        same = self.values(right.modulus, got.modulus)
        residues = [constant(side.residue) for side in (right, got)]
        modulus = constant(right.modulus)
        if same and modulus and residues[0] is not None and residues[1] is not None:
            return (residues[0] - residues[1]) % modulus == 0
        return _all([same, self.values(right.residue, got.residue)])

    def _ratios(self, right: Ratio, got: Ratio) -> bool | None:
        if len(right.items) != len(got.items):
            return False
        times = self._arithmetic.multiplied
        (a, *others), (b, *more) = right.items, got.items
        return _all([self.values(times(a, y), times(b, x)) for x, y in zip(others, more, strict=True)])

    def _proportional(self, a: Sum, b: Sum) -> tuple[bool | None, float | None]:
        """Whether one sum is a constant times the other, and about which constant."""
        arithmetic = self._arithmetic
        a, b = self._cleared(a), self._cleared(b)
        parts_a, parts_b = _by_letters(a), _by_letters(b)
        plain = all(arithmetic.is_plain(whole(side)) for side in (a, b))
        if not a or not b:
            return not a and not b, None
        first = min(parts_a)
        if parts_a.keys() != parts_b.keys():
            return (False if plain else None), None
        x, y = parts_a[first], parts_b[first]
        if arithmetic.difference(whole(arithmetic.times(a, y)), whole(arithmetic.times(b, x))):
            return (False if plain else None), None
        return True, real(arithmetic.divided(whole(x), whole(y)), arithmetic)

    def _cleared(self, terms: Sum) -> Sum:
        """Without letters below: 1/x - y as 1 - x y."""
        least: dict[str, Fraction] = {}
        for product in terms:
            for atom, n in product:
                if n < 0 and not is_number(atom):
                    least[atom] = min(n, least.get(atom, n))
        if not least:
            return terms
        factor = {tuple(sorted((atom, -n) for atom, n in least.items())): Fraction(1)}
        return self._arithmetic.times(terms, factor)


def _without_brackets(form: Form) -> Form:
    """A list of one is that one."""
    return form.items[0] if isinstance(form, Collection) and len(form.items) == 1 else form


def _rational(form: Form) -> Fraction | None:
    return constant(form.value) if isinstance(form, Value) and form.unit is None and not form.percent else None


def _has_pi(number: Quotient) -> bool:
    return any((PI, 1) in product for product in number.above)


def _letters(terms: Sum, arithmetic: Arithmetic) -> bool:
    return any(not is_number(atom) and atom not in arithmetic.atoms for product in terms for atom, _ in product)


def _by_letters(terms: Sum) -> dict[tuple, Sum]:
    out: dict[tuple, Sum] = {}
    for product, c in terms.items():
        letters = tuple(part for part in product if not is_number(part[0]))
        out.setdefault(letters, {})[tuple(part for part in product if is_number(part[0]))] = c
    return out


def _function_and_letter(*names: str | None) -> bool:
    """f(x) = 2x says what y = 2x says."""
    one, other = sorted((name or "" for name in names), key=len)
    return one in ("y", "z") and is_applied(other)


def _all(verdicts: Sequence[bool | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _any(verdicts: Sequence[bool | None]) -> bool | None:
    return True if True in verdicts else None if None in verdicts else False
