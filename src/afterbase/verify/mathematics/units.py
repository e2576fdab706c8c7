r"""Units and other words around a number: 5 cm, \text{about }12\text{ m}^2, £15, 7 apples, 3rd, 2 million.

A single letter is a unit in \text{} alone: elsewhere 3m is three times m. Words that change the number (half, minus, at
least) are no units; thousand, million and the like multiply. Units that are known have a dimension and a size in it, so
that 2 hours are 120 minutes and not 2 minutes; others are names (apples) that say nothing about the number.
"""

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """What is measured, and the unit's size in the smallest unit of that dimension."""

    dimension: str
    size: Fraction


class Measured(NamedTuple):
    """What is left without words and units, by what it is multiplied, and in which unit it is, if that is known."""

    text: str
    factor: int
    unit: Unit | None
    percent: bool


_KNOWN: dict[str, Unit] = {}
for _names, _dimension, _size in (
    ("mm millimeter millimeters millimetre millimetres", "length", Fraction(1, 1000)),
    ("cm centimeter centimeters centimetre centimetres", "length", Fraction(1, 100)),
    ("dm decimeter decimeters decimetre decimetres", "length", Fraction(1, 10)),
    ("m meter meters metre metres", "length", Fraction(1)),
    ("km kilometer kilometers kilometre kilometres", "length", Fraction(1000)),
    ("in inch inches", "length", Fraction(254, 10_000)),
    ("ft foot feet", "length", Fraction(3048, 10_000)),
    ("yd yard yards", "length", Fraction(9144, 10_000)),
    ("mi mile miles", "length", Fraction(1_609_344, 1000)),
    ("s sec secs second seconds", "time", Fraction(1)),
    ("min mins minute minutes", "time", Fraction(60)),
    ("h hr hrs hour hours", "time", Fraction(3600)),
    ("day days", "time", Fraction(86_400)),
    ("week weeks", "time", Fraction(604_800)),
    ("month months", "months", Fraction(1)),
    ("year years yr yrs", "months", Fraction(12)),
    ("mg milligram milligrams", "mass", Fraction(1, 1000)),
    ("g gram grams", "mass", Fraction(1)),
    ("kg kilogram kilograms", "mass", Fraction(1000)),
    ("lb lbs pound pounds", "pound", Fraction(16)),
    ("oz ounce ounces", "pound", Fraction(1)),
    ("ml mL milliliter milliliters millilitre millilitres", "volume", Fraction(1, 1000)),
    ("l L liter liters litre litres", "volume", Fraction(1)),
    ("cent cents", "dollar", Fraction(1, 100)),
    ("dollar dollars USD usd", "dollar", Fraction(1)),
    ("euro euros EUR eur", "euro", Fraction(1)),
    ("degree degrees deg", "angle", Fraction(1)),
    ("m/s mps", "speed", Fraction(1)),
    ("km/h kph kmh", "speed", Fraction(5, 18)),
    ("mph", "speed", Fraction(1397, 3125)),
):
    _KNOWN |= dict.fromkeys(_names.split(), Unit(_dimension, _size))

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
_MONEY = re.compile(r"^([-+]?)\s*(?:[£€¥₹]|US\$?|USD|EUR|Rs\.?)\s*(?=[-+\d.])|(?<=[\d.])\s*(?:[£€¥₹])$")
_POWER = r"(?:\s*\^\s*(?:(\d)|\{\s*(\d)\s*\}))?"
_TEXT_UNIT = re.compile(rf"\s*\\text\s*\{{([^{{}}]*)\}}{_POWER}\s*$")
_BARE_UNIT = re.compile(rf"(?<=[\d)}}%.\s])\s*([a-zA-Z][a-zA-Z/.'\- ]*[a-zA-Z]\.?){_POWER}$")
_ORDINAL = re.compile(
    r"(\d)\s*(?:\^\s*)?(?:\{\s*)?(?:\\text\s*\{\s*)?(?:(?<=1)\s*st|(?<=2)nd|(?<=3)rd|st|nd|rd|th)\s*\}?\s*\}?$"
)
_CIRCLE = re.compile(r"(?<=[\d)}a-z])\s*\^\\circ\s*(?:\\text\s*\{\s*)?[CF]?\s*\}?\s*$")
_ANGLED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_PERCENT = re.compile(
    r"\s*(?:%|\\text\s*\{\s*(?:percent|per cent|pct)\s*\}|\s(?:percent|per cent|pct)|(?<=\d)percent)$"
)
_VOWEL = re.compile("[aeiouy]", re.IGNORECASE)
_WORD = re.compile(r"[a-zA-Z]+(?:/[a-zA-Z]+)?")


def measured(text: str) -> Measured:
    """The spelled text without what stands around its value; as it is, where that may belong to the value."""
    text = _ABOUT.sub("", text)
    text = _MONEY.sub(r"\1", text).strip()
    factor, unit, percent = 1, None, False
    for _ in range(4):  # 12 \text{ cm}^2 \text{ each}
        if (found := _PERCENT.search(text)) is not None:
            text, percent = text[: found.start()], True
        elif (found := _CIRCLE.search(text)) is not None and not _ANGLED.search(text):
            text, unit = text[: found.start()], _KNOWN["degree"]
        elif (found := _ORDINAL.search(text)) is not None:
            text = text[: found.end(1)]
        else:
            found = _TEXT_UNIT.search(text) or _BARE_UNIT.search(text)
            meant = _meaning(found[1], int(found[2] or found[3] or 1), bare="\\" not in found[0]) if found else None
            if found is None or meant is None or not text[: found.start()].strip():
                break
            text = text[: found.start()].rstrip()
            factor *= meant[0]
            unit = meant[1] or unit
    return Measured(text.rstrip(" .,"), factor, unit, percent)


def _meaning(words: str, power: int, *, bare: bool) -> tuple[int, Unit | None] | None:
    """Factor and unit of words behind a number; None where they may be part of the value."""
    said = _WORD.findall(words)
    if not said:
        return (1, None) if not words.strip(" .,") and not bare else None
    factor = 1
    while said and said[0].lower() in _SCALES:
        factor *= _SCALES[said[0].lower()]
        said = said[1:]
    if len(said) > 5:
        return None
    name = said[-1] if said else ""
    if [word.lower() for word in said[:-1]] in (["square"], ["sq"]):
        power = 2
    elif [word.lower() for word in said[:-1]] == ["cubic"]:
        power = 3
    elif len(said) > 1:
        name = ""
    known = _KNOWN.get(name) or _KNOWN.get(name.lower() if len(name) > 2 else name)
    if known is not None and (len(name) > 1 or not bare):
        return factor, known if power == 1 else Unit(f"{known.dimension}^{power}", known.size**power)
    for word in said:
        plain = word.lower()
        if plain in _WITHIN:
            continue
        if plain in _NO_UNITS or _SHARES.search(plain) or (bare and not is_word(word)):
            return None
    return factor, None


def is_word(word: str) -> bool:
    """Whether letters without \\text{} are a word rather than a product of variables."""
    if word in _KNOWN and len(word) > 1:
        return True
    return (
        len(word) >= 3
        and _VOWEL.search(word if len(word) > 3 else word[1:]) is not None
        and word.lower() not in ("xyz", "abc")
    )
