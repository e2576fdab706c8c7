r"""Equality of answers as strings, after the clean-up by which the MATH data set was first scored.

The rules are those of Hendrycks et al. (arXiv 2103.03874, `math_equivalence.py` of their repository), in our words:
what they do not touch stays different, so that 4, 10, -2 is not 10, 4, -2. For such scores, not for rewards.
"""

import re

_SPELLINGS = [
    ("\n", ""),
    ("\\!", ""),
    ("\\\\", "\\"),
    ("tfrac", "frac"),
    ("dfrac", "frac"),
    ("\\left", ""),
    ("\\right", ""),
]
_SPELLINGS += [("^{\\circ}", ""), ("^\\circ", ""), ("\\$", "")]
_AFTER_UNITS = [("\\%", ""), ("%", ""), (" .", " 0."), ("{.", "{0.")]
_QUOTIENT = re.compile(r"(-?\d+)/(-?\d+)")


def equal(gold: str, answer: str) -> bool:
    """Whether both are one string after the clean-up; as they stand, where one of them cannot be cleaned up."""
    try:
        return _clean(gold) == _clean(answer)
    except ValueError:
        return gold == answer


def _clean(text: str) -> str:
    """ValueError for a root or a second unit that the rules cannot read."""
    text = _replaced(text, _SPELLINGS)
    if "\\text{ " in text:  # a unit, to the end
        text, _unit = text.split("\\text{ ")
    text = _replaced(text, _AFTER_UNITS)
    if text.startswith("."):
        text = "0" + text
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = _fractions(_roots(text).replace(" ", ""))
    if text == "0.5":
        return "\\frac{1}{2}"
    quotient = _QUOTIENT.fullmatch(text)
    if quotient and all(str(int(part)) == part for part in quotient.groups()):
        return f"\\frac{{{quotient[1]}}}{{{quotient[2]}}}"
    return text


def _replaced(text: str, pairs: list[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def _roots(text: str) -> str:
    r"""\sqrt3 as \sqrt{3}."""
    first, *rest = text.split("\\sqrt")
    if "" in rest:
        raise ValueError(text)
    return first + "".join("\\sqrt" + (part if part[0] == "{" else f"{{{part[0]}}}{part[1:]}") for part in rest)


def _fractions(text: str) -> str:
    r"""\frac12 and \frac1{72} with braces; the whole as it is, where a fraction has one sign; ValueError for none."""
    first, *rest = text.split("\\frac")
    out = first
    for part in rest:
        if part.startswith("{"):
            out += "\\frac" + part
        elif not part:
            raise ValueError(text)
        elif len(part) < 2:
            return text
        elif part[1] == "{":
            out += f"\\frac{{{part[0]}}}{part[1:]}"
        else:
            out += f"\\frac{{{part[0]}}}{{{part[1]}}}{part[2:]}"
    return out
