r"""Units of measurement: what each measures, and how large it is; products, quotients and powers of them.

5 cm is 0.05 m and not 5 m, 72 km/h are 20 m/s, 1 L is 1000 cm^3, 5 N are 5 kg m/s^2, 100 degrees Celsius are 212
Fahrenheit. Currencies measure different things each. A word that is not here is a name (apples) and says nothing.
"""

import re
from collections import Counter
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """What is measured, as powers of what is fundamental, in order; the unit's size in it, and where its zero lies."""

    dimension: str
    size: Fraction
    zero: Fraction = Fraction(0)


_PREFIXES = {"k": ("kilo", 3), "M": ("mega", 6), "G": ("giga", 9), "d": ("deci", -1), "c": ("centi", -2)}
_PREFIXES |= {"m": ("milli", -3), "u": ("micro", -6), "n": ("nano", -9)}
_METRIC = (  # symbol, names, size in grams, metres and seconds, dimension, prefixes
    ("m", "meter meters metre metres", 1, "length", "kdcmun"),
    ("g", "gram grams gramme grammes", 1, "mass", "kmu"),
    ("s", "second seconds", 1, "time", "mun"),
    ("L", "liter liters litre litres", Fraction(1, 1000), "length^3", "dcm"),
    ("l", "", Fraction(1, 1000), "length^3", "dcm"),
    ("N", "newton newtons", 1000, "length mass time^-2", "kM"),
    ("J", "joule joules", 1000, "length^2 mass time^-2", "kMG"),
    ("W", "watt watts", 1000, "length^2 mass time^-3", "kMGm"),
    ("Wh", "", 3_600_000, "length^2 mass time^-2", "kMG"),
    ("eV", "electronvolt electronvolts", Fraction("1.602176634e-16"), "length^2 mass time^-2", "kMG"),
    ("cal", "calorie calories", 4184, "length^2 mass time^-2", "k"),
    ("Pa", "pascal pascals", 1000, "length^-1 mass time^-2", "kM"),
    ("Hz", "hertz", 1, "time^-1", "kMG"),
    ("A", "ampere amperes amp amps", 1, "current", "mk"),
    ("V", "volt volts", 1000, "current^-1 length^2 mass time^-3", "mk"),
    ("", "ohm ohms", 1000, "current^-2 length^2 mass time^-3", "kM"),
    ("", "coulomb coulombs", 1, "current time", "m"),
    ("mol", "mole moles", 1, "amount", "m"),
    ("bit", "bit bits", 1, "data", "kMG"),
    ("B", "byte bytes", 8, "data", "kMG"),
)
_INCH, _POUND = Fraction(254, 10_000), Fraction("453.59237")
_OTHERS = (
    ("in inch inches", _INCH, "length"),
    ("ft foot feet", 12 * _INCH, "length"),
    ("yd yard yards", 36 * _INCH, "length"),
    ("mi mile miles", 63_360 * _INCH, "length"),
    ("acre acres", 6_272_640 * _INCH**2, "length^2"),
    ("ha hectare hectares", 10_000, "length^2"),
    ("gal gallon gallons", 231 * _INCH**3, "length^3"),
    ("qt quart quarts", 231 * _INCH**3 / 4, "length^3"),
    ("pt pint pints", 231 * _INCH**3 / 8, "length^3"),
    ("cup cups", 231 * _INCH**3 / 16, "length^3"),
    ("sec secs", 1, "time"),
    ("min mins minute minutes", 60, "time"),
    ("h hr hrs hour hours", 3600, "time"),
    ("day days", 86_400, "time"),
    ("week weeks", 604_800, "time"),
    ("month months", 1, "months"),
    ("year years yr yrs", 12, "months"),
    ("tonne tonnes", 10**6, "mass"),
    ("ton tons", 1, "ton"),
    ("lb lbs pound pounds", _POUND, "mass"),
    ("oz ounce ounces", _POUND / 16, "mass"),
    ("atm atmosphere atmospheres", 101_325_000, "length^-1 mass time^-2"),
    ("degree degrees deg", 1, "angle"),
    ("¢ cent cents", Fraction(1, 100), "dollar"),
    ("$ dollar dollars USD usd", 1, "dollar"),
    ("€ euro euros EUR eur", 1, "euro"),
    ("£ GBP gbp", 1, "sterling"),
    ("pence", Fraction(1, 100), "sterling"),
    ("¥ yen JPY", 1, "yen"),
    ("yuan RMB CNY", 1, "yuan"),
    ("₹ Rs rupee rupees INR", 1, "rupee"),
    ("m/s mps", 1, "length time^-1"),
    ("km/h kph kmh", Fraction(5, 18), "length time^-1"),
    ("mph", Fraction(1397, 3125), "length time^-1"),
    ("knot knots", Fraction(463, 900), "length time^-1"),
)
_CELSIUS = Unit("temperature", Fraction(1), Fraction("273.15"))
_FAHRENHEIT = Unit("temperature", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9))
RADIAN = Unit("angle", Fraction(180))
"""In degrees it is this over pi, which is no rational; see `equivalence.py`."""

KNOWN: dict[str, Unit] = {"celsius": _CELSIUS, "fahrenheit": _FAHRENHEIT, "centigrade": _CELSIUS}
KNOWN |= dict.fromkeys(["K", "kelvin", "kelvins"], Unit("temperature", Fraction(1)))
KNOWN |= dict.fromkeys(["rad", "rads", "radian", "radians"], RADIAN)
for _symbol, _names, _size, _dimension, _prefixed in _METRIC:
    for _short, (_long, _places) in {"": ("", 0), **{one: _PREFIXES[one] for one in _prefixed}}.items():
        _known = Unit(_dimension, Fraction(_size) * Fraction(10) ** _places)
        KNOWN |= dict.fromkeys([_short + _symbol] if _symbol else [], _known)
        KNOWN |= {_long + _name: _known for _name in _names.split()}
for _names, _size, _dimension in _OTHERS:
    KNOWN |= dict.fromkeys(_names.split(), Unit(_dimension, Fraction(_size)))

_SHORT_TEXT = "mm cm dm km in ft yd mi hr yr mg kg lb oz ml mL Hz kHz MHz GHz kPa kWh kcal kph mph mps kmh lbs hrs yrs"
SHORT = frozenset(_SHORT_TEXT.split())
"""Symbols that are units without \\text{} too; other ones of one or two letters are products there."""
LETTERS = {letter: KNOWN[letter] for letter in "msghLlNJWVAK"} | {"C": _CELSIUS, "F": _FAHRENHEIT}
"""Single letters that are units where the other answer has a unit of what they measure."""

_TOKEN = re.compile(r"[$¢£€¥₹]|[a-zA-Z]+|\^\s*\{?\s*(-?\d+)|(?<=[a-z])([23])(?!\d)|/")
_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}
_SAY_NOTHING = frozenset(["of", "the", "a", "each", "total", "left", "away"])
_MOST_PARTS, _LARGEST_POWER = 6, 6


def unit(words: str) -> Unit | None:
    """The unit that words, symbols and powers say: kg m/s^2, miles per hour, square feet; None if one is not known."""
    parts: list[tuple[Unit, int]] = []
    sign, power = 1, 1
    tokens = list(_TOKEN.finditer(words))
    for place, token in enumerate(tokens):
        said = token.group()
        small = said.lower()
        following = tokens[place + 1].group().lower() if place + 1 < len(tokens) else ""
        raised = _AFTER.get(small) or int(token[1] or token[2] or 0)
        if said == "/" or small == "per":
            sign = -1
        elif small in _BEFORE:
            power = _BEFORE[small]
        elif raised:
            if not parts or abs(raised) > _LARGEST_POWER:
                return None
            parts[-1] = parts[-1][0], parts[-1][1] * raised
        elif (small in _SAY_NOTHING and said != "A") or (small == "in" and following == "total"):
            continue
        else:
            known = KNOWN.get(said) or (KNOWN.get(small) if len(said) > 2 else None)
            if parts and parts[-1][0] == KNOWN["degree"]:  # degrees Celsius, degrees F
                known = known or LETTERS.get(said)
                if known is not None and known.dimension == "temperature":
                    parts.pop()
            if known is None or len(parts) == _MOST_PARTS:
                return None
            parts.append((known, sign * power))
            power = 1
    return _product(parts)


def _product(parts: list[tuple[Unit, int]]) -> Unit | None:
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    powers: Counter[str] = Counter()
    size = Fraction(1)
    for part, power in parts:
        size *= part.size**power
        for one in part.dimension.split():
            name, _, raised = one.partition("^")
            powers[name] += power * int(raised or 1)
    said = " ".join(name if n == 1 else f"{name}^{n}" for name, n in sorted(powers.items()) if n)
    return Unit(said, size) if said else None


def alike(one: Unit, other: Unit) -> bool | None:
    """Whether both measure the same; None where one of them may be the other under a name that two units have."""
    if one.dimension == other.dimension:
        return True
    pounds = {one.dimension, other.dimension} == {"mass", "sterling"} and _POUND in (one.size, other.size)
    degrees = {one.dimension, other.dimension} == {"angle", "temperature"} and RADIAN not in (one, other)
    return None if pounds or degrees else False
