r"""The exact value of one formula, read by recursive descent: nothing of the text is ever evaluated as code.

It knows numbers (2, .5, 1e5, 0.\overline{3}, 3\frac{1}{2}), letters with subscripts, sums, products, powers, roots,
factorials, binomials, bars, floors, and the usual functions. Two numbers side by side have no value: 5 6 is neither 11
nor 30 nor 56. A number with a subscript (204_5) is a numeral in that base, equal to itself alone. What the grammar does
not reach (sums over an index, integrals, limits) raises UndecidedError.
"""

import re
from fractions import Fraction

from afterbase.verify.mathematics.algebra import (
    EULER,
    IMAGINARY,
    PI,
    Arithmetic,
    MalformedError,
    NoValueError,
    Quotient,
    TooLargeError,
    UndecidedError,
    constant,
    rational,
    symbol,
)
from afterbase.verify.mathematics.functions import NAMES, applied, binomial
from afterbase.verify.mathematics.units import is_word

_DEEPEST = 40
_MOST_PLACES = 5000
_DOTTED = r"\\dot\s*(?:\{\s*\d\s*\}|\d)"
_AGAIN = r"\d*?(?P<again>(?P<one>\d)(?P=one){2,}|(?P<some>\d{2,}?)(?P=some)+)\s*\\ldots"
REPEATING = (
    rf"\d*\.\d*(?:\\overline\s*\{{\s*\d+\s*\}}|\\bar\s*\{{?\s*\d+\s*\}}?|{_DOTTED}(?:\d*\s*{_DOTTED})?"
    rf"|\\dot\s*\{{\s*\d{{2,}}\s*\}}|\(\d+\))|\d*\.(?=\d{{3,40}}\s*\\ldots){_AGAIN}"
)
_TOKEN = re.compile(
    rf"\s*(?:(?P<repeating>{REPEATING})"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+(?![\d.]))?)"
    r"|(?P<command>\\(?:[a-zA-Z]+|[{}|]))"
    r"|(?P<word>(?<![a-zA-Z])(?:arc(?:sin|cos|tan)|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|sqrt|log|ln|exp|pi)(?![a-zA-Z]))"
    r"|(?P<prose>(?<![a-zA-Z\\])[a-zA-Z]{4,})"
    r"|(?P<letter>[a-zA-Z]'*)"
    r"|(?P<sign>\*\*|[-+*/^_(){}\[\]|!]))"
)
_LETTERS_TEXT = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega infty ell hbar imath jmath partial nabla odot
"""
_LETTERS = frozenset(_LETTERS_TEXT.split())
_DRESSED_TEXT = """
vec hat bar overline tilde dot mathbf mathcal mathbb mathfrak mathscr text widehat underline
"""
_DRESSED = frozenset(_DRESSED_TEXT.split())
_BEYOND = re.compile(r"\\(?:sum|prod|i{0,2}int|oint|lim|max|min|sup|inf|gcd|lcm|det|deg|dim|partial|begin)(?![a-zA-Z])")
_CLOSING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", "|": "|"}
_BASES_TEXT = "two three four five six seven eight nine ten eleven twelve"
_BASES = {name: str(n) for n, name in enumerate(_BASES_TEXT.split(), start=2)} | {"sixteen": "16"}
_STARTS = frozenset(["(", "[", "{", "|", r"\lfloor", r"\lceil"])


def value(text: str, arithmetic: Arithmetic) -> Quotient:
    """The value of a spelled formula; NoValueError, TooLargeError or UndecidedError where there is none."""
    reader = _Reader(text, arithmetic)
    return reader.whole()


def decimal(text: str) -> Fraction:
    """A decimal with or without a power of ten; TooLargeError where that has too many places."""
    digits, _, exponent = text.lower().partition("e")
    places = int(exponent or 0)
    if abs(places) > _MOST_PLACES:
        raise TooLargeError
    return Fraction(digits) * Fraction(10) ** places


def repeating(text: str) -> Fraction:
    r"""0.1\overline{6}, 0.1(6), 0.1\dot{6} and 0.1666\ldots."""
    whole, _, rest = text.partition(".")
    goes_on = re.fullmatch(_AGAIN, rest)
    if goes_on is not None:
        fixed, again = rest[: goes_on.start("again")], goes_on["one"] or goes_on["some"]
    else:
        fixed, again = re.match(r"(\d*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
        again = re.sub(r"\D", "", again)
    tail = Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(fixed))
    return int(whole or 0) + (Fraction(int(fixed), 10 ** len(fixed)) if fixed else 0) + tail


def numeral(digits: str, base: str) -> Quotient:
    """A number in its base, which no other number equals, not even one of the same worth."""
    base = _BASES.get(base.removeprefix(r"\text").removeprefix("base").lower(), base)
    digits = digits.upper().lstrip("0") or "0"
    return rational(decimal(digits)) if base == "10" and digits.isdigit() else symbol(f"{digits} in base {base}")


class _Reader:
    def __init__(self, text: str, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._tokens: list[tuple[str, str]] = []
        if _BEYOND.search(text):
            raise UndecidedError
        place, text = 0, text.strip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise MalformedError
            kind = token.lastgroup or ""
            said = token[kind]
            if kind == "prose":
                if is_word(said):
                    raise NoValueError  # 6 feet 2 inches
                token = _TOKEN.match(text[: token.start(kind) + 1], place)
                assert token is not None
                kind, said = "letter", token["letter"]
            self._tokens.append(("command", "\\" + said) if kind == "word" else (kind, said))
            place = token.end()
        self._next = 0
        self._depth = 0
        self._bars = 0

    def whole(self) -> Quotient:
        out = self._sum()
        if self._next < len(self._tokens):
            raise MalformedError
        return out

    def _peek(self, ahead: int = 0) -> str:
        place = self._next + ahead
        return self._tokens[place][1] if place < len(self._tokens) else ""

    def _kind(self, ahead: int = 0) -> str:
        place = self._next + ahead
        return self._tokens[place][0] if place < len(self._tokens) else ""

    def _take(self, wanted: str | None = None) -> str:
        token = self._peek()
        if not token or (wanted is not None and token != wanted):
            raise MalformedError
        self._next += 1
        return token

    def _sum(self) -> Quotient:
        out = self._signed(self._product)
        while self._peek() in ("-", "+"):
            sign = -1 if self._take() == "-" else 1
            out = self._arithmetic.added(out, self._signed(self._product), sign)
        return out

    def _signed(self, read) -> Quotient:
        sign = 1
        while self._peek() in ("-", "+"):
            sign *= -1 if self._take() == "-" else 1
        out = read()
        return self._arithmetic.negated(out) if sign < 0 else out

    def _product(self) -> Quotient:
        out, slash = self._mixed() or self._factor(), False
        while True:
            token = self._peek()
            if token in ("*", r"\cdot"):
                self._take()
                out = self._arithmetic.multiplied(out, self._signed(self._factor))
            elif token == "/":
                self._take()
                out, slash = self._arithmetic.divided(out, self._signed(self._factor)), True
            elif self._begins_factor():
                if token == r"\ldots" and self._kind(-1) == "number":
                    raise NoValueError  # 1.41...
                if self._kind() in ("number", "repeating"):
                    if self._kind(-1) in ("number", "repeating"):
                        raise NoValueError  # 5 6
                    if self._peek(-1) != "!" and not (self._kind(-1) == "letter" and self._peek(-2) in ("^", "**")):
                        raise UndecidedError  # x2, but 2^x 3^x and 5!5!
                if slash:
                    raise UndecidedError  # 1/2\pi may have \pi above or below
                out = self._arithmetic.multiplied(out, self._factor())
            else:
                return out

    def _begins_factor(self) -> bool:
        token, kind = self._peek(), self._kind()
        if kind in ("number", "repeating", "letter"):
            return True
        if kind == "command":
            return token not in (r"\cdot", r"\}", r"\rfloor", r"\rceil", r"\|", r"\circ")
        return token in ("(", "[", "{") or (token == "|" and self._bars == 0)

    def _mixed(self) -> Quotient | None:
        r"""3\frac{1}{2} and 3 1/2, where what follows is a proper fraction of whole numbers."""
        if not (self._kind() == "number" and self._peek().isdigit()):
            return None
        found = [self._peek(n) for n in range(1, 8)]
        if found[0] == r"\frac" and found[1] == found[4] == "{" and found[3] == found[6] == "}":
            above, below, length = found[2], found[5], 8
        elif found[0] == r"\frac" and found[1].isdigit() and (len(found[1]) == 2 or found[2].isdigit()):
            above, below = (found[1][0], found[1][1]) if len(found[1]) == 2 else (found[1], found[2])
            length = 3 if len(found[1]) == 2 else 4
        elif self._kind(1) == "number" and found[1] == "/":
            above, below, length = found[0], found[2], 4
        else:
            return None
        if not (above.isdigit() and below.isdigit()) or self._peek(length) in ("^", "_", "!"):
            return None
        if not 0 < int(above) < int(below):
            if found[0] != r"\frac":
                raise NoValueError
            return None
        whole = int(self._take())
        self._next += length - 1
        return rational(whole + Fraction(int(above), int(below)))

    def _factor(self) -> Quotient:
        base = self._base()
        while True:
            token = self._peek()
            if token in ("^", "**") and self._peek(1) == r"\circ":
                self._next += 2
                base = self._arithmetic.multiplied(base, self._degree())
            elif token in ("^", "**"):
                self._take()
                base = self._arithmetic.power(base, self._script())
            elif token == "!":
                self._take()
                twice = self._peek() == "!" and self._take() == "!"
                base = applied(self._arithmetic, "double factorial" if twice else "factorial", base)
            else:
                return base

    def _degree(self) -> Quotient:
        return self._arithmetic.multiplied(symbol(PI), rational(Fraction(1, 180)))

    def _script(self) -> Quotient:
        """What stands above: braces, or one sign, number, letter or command."""
        if self._peek() in ("-", "+"):
            return self._signed(self._base)
        return self._base()

    def _base(self) -> Quotient:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TooLargeError
        out = self._one(self._kind(), self._take())
        self._depth -= 1
        return out

    def _one(self, kind: str, token: str) -> Quotient:
        if kind == "number":
            if self._peek() == "_":
                return self._numeral(token)
            return rational(decimal(token))
        if kind == "repeating":
            return rational(repeating(token))
        if kind == "letter":
            return self._named(token)
        if kind == "command":
            return self._command(token[1:])
        if token in _STARTS:
            return self._enclosed(token)
        raise MalformedError

    def _enclosed(self, opening: str) -> Quotient:
        start = self._next
        bars, self._bars = self._bars, 1 if opening == "|" else 0
        out = self._sum()
        self._take(_CLOSING[opening])
        self._bars = bars
        if opening == "|":
            return applied(self._arithmetic, "abs", out)
        if opening == "(" and self._peek() == "_":
            return self._numeral("".join(self._peek(n) for n in range(start - self._next, -1)))
        return out

    def _numeral(self, digits: str) -> Quotient:
        return numeral(digits, self._subscript())

    def _named(self, name: str) -> Quotient:
        """A letter with its subscript and primes."""
        if name == "i" and self._peek() != "_":
            return symbol(IMAGINARY)
        if name == "e" and self._peek() != "_":
            return symbol(EULER)
        if self._peek() == "_":
            return symbol(f"{name}_{self._subscript()}")
        return symbol(name)

    def _subscript(self) -> str:
        self._take("_")
        return self._group_text()

    def _group_text(self) -> str:
        """The tokens of one group, as they are, without braces."""
        token = self._take()
        if token not in ("{", "("):
            return token
        depth, said = 1, []
        closing = _CLOSING[token]
        while True:
            inner = self._take()
            depth += (inner == token) - (inner == closing)
            if depth == 0:
                return "".join(said)
            if inner not in "{}":
                said.append(inner)

    def _command(self, name: str) -> Quotient:
        a = self._arithmetic
        if name == "frac":
            above = self._argument()
            return a.divided(above, self._argument())
        if name == "sqrt":
            return self._root()
        if name == "pi":
            return symbol(PI)
        if name == "binom":
            above = self._argument()
            return binomial(a, above, self._argument())
        if name == "log":
            return self._log()
        if name in NAMES:
            return self._function(name)
        if name in ("lfloor", "lceil"):
            return applied(a, name[1:], self._enclosed("\\" + name))
        if name in ("Gamma", "zeta") and self._peek() == "(":
            inner = self._base()
            return applied(a, "factorial", a.added(inner, rational(-1))) if name == "Gamma" else a.opaque(name, inner)
        if name in _LETTERS:
            return symbol(f"\\{name}_{self._subscript()}" if self._peek() == "_" else f"\\{name}")
        if name in _DRESSED:
            inner = self._group_text()
            if name == "text" and len(inner) > 1:
                raise NoValueError  # words within a formula
            subscript = f"_{self._subscript()}" if self._peek() == "_" else ""
            return symbol(f"\\{name} {inner}{subscript}")
        raise UndecidedError

    def _argument(self) -> Quotient:
        """What a command takes: braces, one digit or one letter."""
        if self._kind() == "number" and len(self._peek()) > 1:  # \frac34 is 3 over 4
            token = self._take()
            if not token.isdigit():
                raise UndecidedError
            self._next -= 1
            self._tokens[self._next : self._next + 1] = [("number", token[0]), ("number", token[1:])]
        return self._base()

    def _root(self) -> Quotient:
        degree = rational(2)
        if self._peek() == "[":
            self._take()
            degree = self._sum()
            self._take("]")
        if self._kind() == "number" and len(self._peek()) > 1:
            raise UndecidedError  # \sqrt12 is the root of 1, or of 12
        return self._arithmetic.power(self._base(), self._arithmetic.divided(rational(1), degree))

    def _log(self) -> Quotient:
        a = self._arithmetic
        if self._peek() != "_":
            return self._function("ln")
        self._take()
        base = self._argument()
        return a.divided(self._function("ln"), applied(a, "ln", base))

    def _function(self, name: str) -> Quotient:
        a = self._arithmetic
        power = None
        if self._peek() in ("^", "**"):
            self._take()
            power = self._script()
            if constant(power) == -1 and f"arc{name}" in NAMES:
                name, power = f"arc{name}", None
        if self._peek() in _STARTS and self._peek() != "|":
            value = self._base()
            if self._peek() in ("^", "!"):
                raise UndecidedError  # \sin(x)^2
        else:
            value = self._signed(self._bare_argument)
        out = applied(a, name, value)
        return out if power is None else a.power(out, power)

    def _bare_argument(self) -> Quotient:
        r"""\sin 2x: a product without signs, up to the next function."""
        out = self._factor()
        while self._begins_factor() and self._kind() not in ("number", "repeating"):
            if self._kind() == "command" and self._peek()[1:] in NAMES:
                break
            if self._peek() in _STARTS:
                break
            out = self._arithmetic.multiplied(out, self._factor())
        return out
