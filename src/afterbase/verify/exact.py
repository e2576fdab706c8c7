r"""Exact values of common answers: rationals, roots, multiples of pi, complex numbers, and lists of them.

A value is a sum of terms, coefficient x sqrt(radicand) x pi^power with a rational coefficient and a square-free
radicand (-1 for i), which is one form for each number: 2/\sqrt{2} and \sqrt{2} are the same sum. Whatever this small
grammar does not know (variables, functions, intervals against sets, decimals that nearly agree) is left undecided, for
math-verify to say. Where it decides it says what math-verify would, in microseconds; its test holds it to that.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

Value = dict[tuple[int, int], Fraction]
"""Coefficients by (square-free radicand, power of pi); zero is empty."""

MOST_CHARACTERS = 200
_MOST_DIGITS = 40
_LARGEST_RADICAND = 1_000_000
_LARGEST_POWER = 12
_NEAR = Fraction(1, 100_000)  # decimals closer than this may count as equal, after rounding

_DRESS = re.compile(r"\\!|\\(?:left|right|displaystyle)(?![a-zA-Z])|\\\$|\$|(?<=\d)\\[,;: ](?=\d{3}(?!\d))")
_SPACE = re.compile(r"(?<!\\)\\[,;: ]|\^(?:\\circ|\{\\circ\})(?!\s*\^)")
_UNIT = re.compile(  # with its power, or 12 cm^2 were 144; at the end, for 2 m/3 is no number
    r"\\(?:text|textbf|mathrm|mbox|textnormal)\s*\{\s*(?:units?|cm|m|km|inches|feet|miles|meters|minutes|hours|seconds"
    r"|degrees|square units|dollars|cents)\s*\}(?:\s*\^\s*(?:[23]|\{\s*[23]\s*\}))?(?=\s*(?:\.?\s*$|[,)\]]|\\\}))"
)
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<word>\\(?:[dt]?frac|sqrt|pi|cdot|times)(?![a-zA-Z]))|(?P<sign>[-+*/^(){}]|i(?![a-zA-Z])))"
)
_ASSIGNED = re.compile(r"\s*([a-zA-Z])\s*=\s*(?=[^=])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_OPEN, _CLOSE = ("(", "[", "\\{"), (")", "]", "\\}")


class UndecidedError(Exception):
    """The grammar does not reach this far."""


@dataclass(frozen=True)
class Answer:
    """Brackets around values, in order; a single value has none. `decimal`: a value was written with a point."""

    brackets: tuple[str, str]
    values: tuple[Value, ...]
    decimal: bool
    variable: str | None


def same(gold: str, answer: str) -> bool | None:
    """Whether the two are worth the same; None where that is not for this grammar to say."""
    bare = _bare(gold), _bare(answer)
    if bare[0] == bare[1] and bare[0]:
        return True
    try:
        right, got = _read(bare[0]), _read(bare[1])
    except UndecidedError:
        return None
    if got.variable not in (None, right.variable) and right.variable is not None:
        return None
    if (right.brackets, len(right.values)) != (got.brackets, len(got.values)):
        return None
    if right.brackets == ("", "") or right.brackets[0] == "\\{":  # a list without order
        return _as_sets(right, got)
    return _all_same(right, got)


def _all_same(right: Answer, got: Answer) -> bool | None:
    verdicts = [_value_same(a, b, right.decimal or got.decimal) for a, b in zip(right.values, got.values, strict=True)]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _as_sets(right: Answer, got: Answer) -> bool | None:
    if len(right.values) == 1:
        return _all_same(right, got)
    if right.decimal or got.decimal:
        return None
    sets = [{tuple(sorted(value.items())) for value in side.values} for side in (right, got)]
    if any(len(distinct) < len(right.values) for distinct in sets):
        return None
    return sets[0] == sets[1]


def _value_same(right: Value, got: Value, decimal: bool) -> bool | None:
    if right == got:
        return True
    if not decimal:
        return False
    if right.keys() | got.keys() != {(1, 0)}:
        return None if right.keys() | got.keys() else True
    difference = abs(right.get((1, 0), Fraction(0)) - got.get((1, 0), Fraction(0)))
    return None if difference < _NEAR else False


def _bare(text: str) -> str:
    if len(text) > MOST_CHARACTERS:
        return ""
    return _UNIT.sub("", _SPACE.sub(" ", _DRESS.sub("", text))).strip().removesuffix(".").strip()


def _read(text: str) -> Answer:
    if not text or len(text) > MOST_CHARACTERS:
        raise UndecidedError
    assigned = _ASSIGNED.match(text)
    if assigned:
        text = text[assigned.end() :].strip()
    text = text.replace("{,}", ",")
    brackets = ("", "")
    opened = next((b for b in _OPEN if text.startswith(b)), None)
    closed = next((b for b in _CLOSE if text.endswith(b)), None)
    enclosed = opened and closed and _closes_last(text[len(opened) - 1 :])
    if enclosed and _THOUSANDS.search(text):
        raise UndecidedError  # (1,234) is a point rather than a number
    text = _THOUSANDS.sub(lambda number: number.group().replace(",", ""), text)
    if opened and closed and enclosed:
        inner = text[len(opened) : len(text) - len(closed)]
        if len(_split(inner)) > 1 or opened == "\\{":
            brackets, text = (opened, closed), inner
    parts = _split(text)
    if assigned and len(parts) > 1:
        raise UndecidedError
    values = tuple(_Reader(part).value() for part in parts)
    return Answer(brackets, values, "." in text, assigned.group(1) if assigned else None)


def _closes_last(text: str) -> bool:
    """Whether the bracket at the start is closed by the one at the end, and by no other."""
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return place == len(text) - 1
    return False


def _split(text: str) -> list[str]:
    """Parts between commas outside brackets."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


class _Reader:
    """Recursive descent over one value: sums of products of numbers, fractions, roots, pi and i."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        place = 0
        text = text.strip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise UndecidedError
            self._tokens.append(token.group().strip())
            place = token.end()
        self._next = 0
        self._depth = 0

    def value(self) -> Value:
        out = self._sum()
        if self._peek():
            raise UndecidedError
        return out

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self, wanted: str | None = None) -> str:
        token = self._peek()
        if not token or (wanted is not None and token != wanted):
            raise UndecidedError
        self._next += 1
        return token

    def _sum(self) -> Value:
        self._depth += 1
        if self._depth > 20:
            raise UndecidedError
        sign = -1 if self._peek() == "-" else 1
        if self._peek() in ("-", "+"):
            self._take()
        out = _scaled(self._product(), sign)
        while self._peek() in ("-", "+"):
            sign = -1 if self._take() == "-" else 1
            out = _added(out, _scaled(self._product(), sign))
        self._depth -= 1
        return out

    def _product(self) -> Value:
        out, slash = self._factor(), False
        while True:
            token = self._peek()
            if token in ("*", "\\cdot", "\\times"):
                self._take()
                out = _multiplied(out, self._factor())
            elif token == "/":
                self._take()
                out, slash = _divided(out, self._factor()), True
            elif token in ("\\sqrt", "\\pi", "i", "("):
                if slash:
                    raise UndecidedError  # 1/2\pi may have \pi above or below
                out = _multiplied(out, self._factor())
            elif token and token not in "+-)}":
                raise UndecidedError  # 1\frac{1}{2} and 2 3 are read in more than one way
            else:
                return out

    def _factor(self) -> Value:
        token = self._take()
        if token == "(":
            out = self._sum()
            self._take(")")
        elif token == "{":
            out = self._sum()
            self._take("}")
        elif token.endswith("frac"):
            above = self._group()
            out = _divided(above, self._group())
        elif token == "\\sqrt":
            out = _root(self._group())
        elif token == "\\pi":
            out = {(1, 1): Fraction(1)}
        elif token == "i":
            out = {(-1, 0): Fraction(1)}
        elif token[0] in "0123456789.":
            if len(token) > _MOST_DIGITS:
                raise UndecidedError
            out = _rational(Fraction(token))
        else:
            raise UndecidedError
        if self._peek() == "^":
            self._take()
            out = _power(out, self._group())
        return out

    def _group(self) -> Value:
        """What a command takes: braces, or one digit."""
        if self._peek() == "{":
            return self._factor()
        token = self._take()
        if not token.isdecimal():
            raise UndecidedError
        if len(token) > 1:  # \frac34 is 3 over 4; the next digit is left for the next group
            self._next -= 1
            self._tokens[self._next : self._next + 1] = [token[0], token[1:]]
            self._next += 1
        return _rational(Fraction(token[0]))


def _rational(number: Fraction) -> Value:
    return {(1, 0): number} if number else {}


def _scaled(value: Value, sign: int) -> Value:
    return value if sign == 1 else {key: -coefficient for key, coefficient in value.items()}


def _added(a: Value, b: Value) -> Value:
    out = {key: a.get(key, Fraction(0)) + b.get(key, Fraction(0)) for key in a.keys() | b.keys()}
    return {key: coefficient for key, coefficient in out.items() if coefficient}


def _multiplied(a: Value, b: Value) -> Value:
    out: Value = {}
    if len(a) * len(b) > 64:
        raise UndecidedError
    for (root_a, pi_a), x in a.items():
        for (root_b, pi_b), y in b.items():
            outside, root = _square_free(abs(root_a * root_b))
            both = root_a < 0 and root_b < 0
            one = (root_a < 0) != (root_b < 0)
            term = {(-root if one else root, pi_a + pi_b): x * y * outside * (-1 if both else 1)}
            out = _added(out, term)
    return out


def _divided(a: Value, b: Value) -> Value:
    if len(b) != 1:
        raise UndecidedError  # by zero, or by a sum
    ((root, pi), coefficient) = next(iter(b.items()))
    # 1 / sqrt(r) = sqrt(r) / r, for i too: 1 / i = i / -1
    return _multiplied(a, {(root, -pi): 1 / (coefficient * root)})


def _power(base: Value, exponent: Value) -> Value:
    number = exponent.get((1, 0), Fraction(0))
    if len(exponent) > 1 or (exponent and (1, 0) not in exponent) or number.denominator != 1:
        raise UndecidedError
    if abs(number) > _LARGEST_POWER or (not base and number <= 0):
        raise UndecidedError
    out: Value = {(1, 0): Fraction(1)}
    for _ in range(abs(int(number))):
        out = _multiplied(out, base)
    return out if number >= 0 else _divided({(1, 0): Fraction(1)}, out)


def _root(value: Value) -> Value:
    if not value:
        return {}
    if value.keys() != {(1, 0)}:
        raise UndecidedError
    number = value[1, 0]
    if number < 0:
        raise UndecidedError
    outside, radicand = _square_free(number.numerator * number.denominator)  # sqrt(p / q) = sqrt(p q) / q
    return {(radicand, 0): Fraction(outside, number.denominator)}


def _square_free(number: int) -> tuple[int, int]:
    """(a, b) with number = a^2 b and b square-free."""
    if number > _LARGEST_RADICAND:
        raise UndecidedError
    outside, rest, factor = 1, number, 2
    whole = isqrt(number)
    if whole * whole == number:
        return whole, 1
    while factor * factor <= rest:
        while rest % (factor * factor) == 0:
            rest //= factor * factor
            outside *= factor
        factor += 1
    return outside, rest
