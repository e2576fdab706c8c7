r"""Units and other words around a number: 5 cm, \text{about }12\text{ m}^2, £15, 7 apples, 3rd, 2 million.

A single letter is a unit in \text{} alone: elsewhere 3m is three times m, or 3 metres where the other answer is one
(`read_as_unit`). Words that change the number (half, minus, at least) are no units; thousand, million and the
like multiply. What the units are worth is in quantities.py; other words are names (apples), which say nothing.
"""

import re
from itertools import pairwise
from typing import NamedTuple

from afterbase.verify.mathematics.quantities import KNOWN, LETTERS, SHORT, Unit, unit


class Measured(NamedTuple):
    """What is left without words and units, by what it is multiplied, and in which unit it is, if that is known."""

    text: str
    factor: int
    unit: Unit | None
    percent: bool


_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_NO_UNITS_TEXT = """
above add all almost and are as at base be below between but by cube cubed digits divided double eighth eighths
equal equals even except factorial few fifth fifths for fourth fourths from half halves infinity isn isnt less
many max minus mod modulo more multiplied negative ninth no none not nothing odd off or out over plus power
quarter quarters raised remainder root several sixth sixths some squared sum than third thirds through times to
triple twice twelfth under unless until up where while wrong incorrect false true with without
"""
_NO_UNITS = frozenset(_NO_UNITS_TEXT.split())
_WITHIN_TEXT = """
square sq cubic per of the a each in total left away
"""
_WITHIN = frozenset(_WITHIN_TEXT.split())
_SHARES = re.compile(r"(?:nth|dth)s?$")
_ABOUT = re.compile(
    r"^\s*(?:\\text\s*\{)?\s*(?:(?:is|it is)\s+)?(?:about|approximately|approx|around|roughly|exactly|nearly|a total of"
    r"|\\approx|\\sim|~|≈)\.?\s*\}?\s*(?=[-+\d\\.$(])",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"^([-+]?)\s*(US\s?\$|[$£€¥₹]|USD?|EUR|GBP|Rs)\.?\s*(?=[-+\d.\\])|(?<=[\d.}])\s*([$¢£€¥₹])(?=$|\s*[a-z\\])"
)
_POWER = r"(?:\s*\^\s*(?:-?\d|\{\s*-?\d\s*\}))?"
_TEXT_UNIT = re.compile(rf"((?:\s*(?:\\cdot|[/*])?\s*\\text\s*\{{[^{{}}]*\}}{_POWER})+)\s*$")
_BARE_UNIT = re.compile(rf"(?<=[\d)}}%.\s])\s*([a-zA-Z][a-zA-Z/.'\- ]*[a-zA-Z]\.?{_POWER})$")
_LETTER = re.compile(r"(.*[\d})])\s*([a-zA-Z])(\s*\^\s*(?:\d|\{\s*\d\s*\}))?", re.DOTALL)
_PART = r"\s*(\d+(?:\.\d+)?)\s*(?:\\text\s*\{\s*([a-zA-Z]+)\s*\}|([a-zA-Z]+))\.?"
_SUM = re.compile(rf"(?:{_PART}){{2,4}}\s*")
_ORDINAL = re.compile(
    r"(\d)\s*(?:\^\s*)?(?:\{\s*)?(?:\\text\s*\{\s*)?(?:(?<=1)\s*st|(?<=2)nd|(?<=3)rd|st|nd|rd|th)\s*\}?\s*\}?$"
)
_CIRCLE = re.compile(r"(?<=[\d)}a-z])\s*\^\\circ\s*(?:\\text\s*\{\s*)?([CFK])?\s*\}?\s*$")
_ANGLED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_PERCENT = re.compile(
    r"\s*(?:%|\\text\s*\{\s*(?:percent|per cent|pct)\s*\}|\s(?:percent|per cent|pct)|(?<=\d)percent)$"
)
_VOWEL = re.compile("[aeiouy]", re.IGNORECASE)
_WORD = re.compile(r"[a-zA-Z]+(?:/[a-zA-Z]+)?")


def measured(text: str) -> Measured:
    """The spelled text without what stands around its value; as it is, where that may belong to the value."""
    text = _ABOUT.sub("", text)
    factor, said, percent = 1, None, False
    if (money := _MONEY.search(text)) is not None:
        said = KNOWN.get((money[2] or money[3]).removeprefix("US").strip() or "$")
        text = (text[: money.start()] + (money[1] or "") + text[money.end() :]).strip()
    for _ in range(4):  # 12 \text{ cm}^2 \text{ each}
        if (found := _PERCENT.search(text)) is not None:
            text, percent = text[: found.start()], True
        elif (found := _CIRCLE.search(text)) is not None and not _ANGLED.search(text):
            text, said = text[: found.start()], said or (LETTERS[found[1]] if found[1] else KNOWN["degree"])
        elif (found := _ORDINAL.search(text)) is not None:
            text = text[: found.end(1)]
        else:
            found = _TEXT_UNIT.search(text) or _BARE_UNIT.search(text)
            meant = _meaning(found[1], bare="\\" not in found[0]) if found else None
            before = text[: found.start()].rstrip() if found else ""
            if meant is None or not before or (len(before) > 1 and before.replace(" ", "").isalpha()):  # No solution
                break
            text = before
            factor *= meant[0]
            said = said or meant[1]
    return Measured(text.rstrip(" .,"), factor, said, percent)


def summed(text: str) -> list[tuple[str, Unit]] | None:
    """The parts of 6 feet 2 inches and 1 h 30 min: of one dimension, each unit smaller than the one before."""
    if _SUM.fullmatch(text) is None:
        return None
    out = [(number, KNOWN.get(inner or bare)) for number, inner, bare in re.findall(_PART, text)]
    units = [unit for _, unit in out if unit is not None]
    if len(units) < len(out) or not descend(units):
        return None
    return [(number, unit) for number, unit in out if unit is not None]


def descend(units: list[Unit]) -> bool:
    """Whether all are of one dimension, and each is smaller than the one before."""
    return len({unit.dimension for unit in units}) == 1 and all(one.size > other.size for one, other in pairwise(units))


def read_as_unit(text: str) -> tuple[str, Unit] | None:
    """What stands before a single letter at the end, and the unit of that letter: 5 m, read as five metres."""
    found = _LETTER.fullmatch(text)
    if found is None or found[2] not in LETTERS:
        return None
    said = LETTERS[found[2]] if found[3] is None else unit(found[2] + found[3])
    return None if said is None else (found[1], said)


def _meaning(words: str, *, bare: bool) -> tuple[int, Unit | None] | None:
    """Factor and unit of words behind a number; None where they may be part of the value."""
    words = words.replace("\\text", " ").replace("\\cdot", " ")
    said = _WORD.findall(words)
    if not said:
        return (1, None) if not words.strip(" .,{}") and not bare else None
    factor = 1
    while said and said[0].lower() in _SCALES:
        factor *= _SCALES[said[0].lower()]
        words = words.partition(said[0])[2]
        said = said[1:]
    if len(said) > 5:
        return None
    known = unit(words)
    if known is not None and (not bare or _is_bare_unit(words, said)):
        return factor, known
    for word in said:
        plain = word.lower()
        if plain in _WITHIN:
            continue
        if plain in _NO_UNITS or _SHARES.search(plain) or (bare and not is_word(word)):
            return None
    return factor, None


def _is_bare_unit(words: str, said: list[str]) -> bool:
    """Whether these are a unit without \\text{} too: km, g/mL, m/s, miles per hour, but not m, kW or m/g."""
    names = [name for word in said for name in word.split("/")]
    long = any(name in SHORT or len(name) > 2 for name in (names if "/" in words else names[:1]))
    return len(words.strip()) > 1 and (long or re.match(r"\s*m\s*/\s*s(?![a-zA-Z])", words) is not None)


def is_word(word: str) -> bool:
    """Whether letters without \\text{} are a word rather than a product of variables."""
    if word in SHORT:
        return True
    return (
        len(word) >= 3
        and _VOWEL.search(word if len(word) > 3 else word[1:]) is not None
        and word.lower() not in ("xyz", "abc")
    )
