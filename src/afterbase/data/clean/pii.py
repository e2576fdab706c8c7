"""Personal data and secrets in a text: e-mail addresses, telephone and card numbers, IP addresses, keys.

Patterns are strict where mathematics looks alike: a card number has a known beginning and a right check digit, a
telephone number a plus sign, brackets, or a word such as `tel` before it. What is reserved for examples is none:
example.com, 555-0100, 192.0.2.1, private and local addresses.

Does not cover: names, postal addresses, national numbers, and anything spelt out (`name at example dot org`).
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

Kind = Literal["email", "phone", "card", "ip", "key"]

_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@((?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24})(?![a-z0-9-])", re.I)
_EXAMPLES = re.compile(r"(^|\.)(example\.(com|net|org|edu)|example|test|invalid|localhost|local)$", re.I)

# Patterns as slow as these are tried only where a cheap hint of them is found.
_MANY_DIGITS = re.compile(r"\d(?:[ ().\-]{0,2}\d){6}")
_DOTTED, _COLONS = re.compile(r"\.\d{1,3}\.\d{1,3}"), re.compile(r":[0-9A-Fa-f]{0,4}:")
_PLUS = re.compile(r"(?<![\w+])\+\d{1,3}(?:[ .\-\u00a0]?\(?\d{1,4}\)?){2,6}(?![\w])")
_AMERICAN = re.compile(r"(?<![\w.+-])(?:\(([2-9]\d\d)\) ?|([2-9]\d\d)([-.]))([2-9]\d\d)(?:\3|(?<=\d)-)(\d{4})(?![\w-])")
_LOCAL = re.compile(r"(?<![\w+.])\d(?:[ -]?\d){6,14}(?!\w)")
_CALLED = re.compile(
    r"(?:\b(?:tel|telephone|phone|mobile|cell|call|fax|whatsapp|wechat)\b|电话|手机|致电|微信|热线)"
    r"(?:\s|[:：.#]|号码?|是|为|\b(?:number|no|is|me|us|at|on)\b){0,8}\(?$",
    re.I,
)
_CARD = re.compile(r"(?<![\w.,-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{5}|\d{13,19})(?!\w|[.,]\d)")
_ISSUED = re.compile(
    r"4(\d{12}|\d{15}|\d{18})|(5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(6011|65\d\d|64[4-9]\d)\d{12}|35(2[89]|[3-8]\d)\d{12}|3(0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_VERSION = re.compile(r"(?:\bv|version|release|section|chapter|版本)[ :]*$", re.I)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{1,4}:{1,2}){3,7}[0-9a-f]{1,4}(?![\w:])", re.I)
_KEY_HINTS = ("_", "AKIA", "ASIA", "glpat-", "sk-", "AIza", "xox", "eyJ", "PRIVATE KEY")
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,}"
    r"|glpat-[\w-]{20}|sk-[A-Za-z0-9_-]{32,}|[rs]k_live_[A-Za-z0-9]{20,}|AIza[\w-]{35}|xox[abeoprs]-[A-Za-z0-9-]{20,}"
    r"|hf_[A-Za-z0-9]{34}|npm_[A-Za-z0-9]{36}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})(?![A-Za-z0-9])"
    r"|-----BEGIN (?:[A-Z]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----"
)


def personal(text: str, kinds: Sequence[Kind]) -> Iterator[tuple[Kind, str]]:
    """Each find of these kinds, with its kind, kind by kind."""
    for kind in kinds:
        for found in _FINDERS[kind](text):
            yield kind, found


def _emails(text: str) -> Iterator[str]:
    if "@" in text:
        yield from (m[0] for m in _EMAIL.finditer(text) if not _EXAMPLES.search(m[1]))


def _phones(text: str) -> Iterator[str]:
    if _MANY_DIGITS.search(text) is None:
        return
    if "+" in text:
        for m in _PLUS.finditer(text):
            digits = _digits(m[0])
            added = re.search(r"[\w)\]}²³]\s*$", text[max(0, m.start() - 3) : m.start()])  # `x +12 345 678`
            if 8 <= len(digits) <= 15 and digits[0] != "0" and (not added or added[0][-1] == "\n" or _named(text, m)):
                yield m[0]
    for m in _AMERICAN.finditer(text):
        if not (m[4] == "555" and "0100" <= m[5] <= "0199"):
            yield m[0]
    yield from (m[0] for m in _LOCAL.finditer(text) if _CALLED.search(text[max(0, m.start() - 40) : m.start()]))


def _named(text: str, match: re.Match[str]) -> bool:
    return (
        re.search(r"(tel|phone|mobile|call|fax|whatsapp|number is|at)\W*$", text[: match.start()][-24:], re.I)
        is not None
    )


def _cards(text: str) -> Iterator[str]:
    if _MANY_DIGITS.search(text) is None:
        return
    for m in _CARD.finditer(text):
        digits = _digits(m[0])
        # Where mathematics stands next to it, it is a number.
        around = text[: m.start()][-3:].rstrip()[-1:] + text[m.end() :][:3].lstrip()[:1]
        if _ISSUED.fullmatch(digits) and luhn(digits) and not set(around) & set("+*/^=<>$×÷\\"):
            yield m[0]


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    values = [int(d) for d in reversed(digits)]
    return (sum(values[0::2]) + sum(sum(divmod(2 * v, 10)) for v in values[1::2])) % 10 == 0


def _addresses(text: str) -> Iterator[str]:
    if _DOTTED.search(text):
        for m in _IPV4.finditer(text):
            if _global(m[0]) and not _VERSION.search(text[max(0, m.start() - 10) : m.start()]):
                yield m[0]
    if _COLONS.search(text):
        yield from (m[0] for m in _IPV6.finditer(text) if _global(m[0]))


def _global(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _keys(text: str) -> Iterator[str]:
    if any(hint in text for hint in _KEY_HINTS):
        yield from (m[0] for m in _KEY.finditer(text))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


_FINDERS: dict[Kind, Callable[[str], Iterator[str]]] = {
    "email": _emails,
    "phone": _phones,
    "card": _cards,
    "ip": _addresses,
    "key": _keys,
}
