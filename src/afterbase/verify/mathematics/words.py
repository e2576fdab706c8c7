r"""Answers in words: \text{June 20}, Yes, no solution, the letter of a choice, a time of day, names in any order."""

import re

from afterbase.verify.mathematics.functions import NAMES
from afterbase.verify.mathematics.units import is_word, measured

_TEXT = re.compile(r"\\(?:text|mathbf)\s*\{([^{}]*)\}")
_LETTERS = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{2,}")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_FORMULA = re.compile(r"[\\^_{}=<>+*/|\[\]]")
_JOINED = re.compile(r"\s*(?:,|;|&|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z]))\s*")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)(?![a-zA-Z])")
_ARTICLES = frozenset(["a", "an", "the"])
_CHOICE = re.compile(r"\s*\(?\s*([A-J])\s*\)?\s*")
_CHOSEN = re.compile(r"\s*(?:\\(?:text|mathbf)\s*\{)?\s*\(\s*([A-J])\s*\)\s*\}?(?![\w^_+*/=-])\s*\S.*", re.DOTALL)
_CLOCK = re.compile(
    r"\s*(\d{1,2})\s*:\s*(\d{2})(?::(\d{2}))?\s*(?:\\text\s*\{)?\s*(?:([ap])\.?\s?m\.?)?\s*\}?\.?\s*", re.IGNORECASE
)


def same_words(right: str, got: str) -> bool | None:
    """Whether two spelled texts say the same in words; None if the right one is no text of words."""
    choice = _choice(right)
    if choice is not None and choice == _choice(got):
        return True
    clocks = _CLOCK.fullmatch(right), _CLOCK.fullmatch(got)
    if clocks[0] is not None and clocks[1] is not None:
        return _same_time(clocks[0], clocks[1])
    expected = _said(right)
    if expected is None:
        return None
    if expected == _said(got):
        return True
    return None if measured(right).text != right.strip() or not _is_prose(right) else False


def _choice(text: str) -> str | None:
    found = _CHOICE.fullmatch(_TEXT.sub(r"\1", text)) or _CHOSEN.fullmatch(text)
    return found[1] if found else None


def _same_time(right: re.Match[str], got: re.Match[str]) -> bool | None:
    """The same hour and minute, of the same half of the day where both name it; ratios are left to others."""
    half = right[4], got[4]
    if any(half) or right[2].startswith("0") or got[2].startswith("0"):
        same_half = None in half or half[0].lower() == half[1].lower()
        return same_half and [int(part or 0) for part in right.groups()[:3]] == [int(p or 0) for p in got.groups()[:3]]
    return None


def _said(text: str) -> list[tuple[str, ...]] | None:
    """The words of each name, in order of the names; None for a formula."""
    text = _TEXT.sub(r" \1 ", text)
    if _FORMULA.search(text) or not (_LETTERS.search(text) or not text.isascii()):
        return None
    text = _ORDINAL.sub("", text)
    parts = (tuple(w for w in _WORD.findall(part.casefold()) if w not in _ARTICLES) for part in _JOINED.split(text))
    return sorted(part for part in parts if part)


def _is_prose(text: str) -> bool:
    """Whether some word cannot be a product of letters, a unit or a function."""
    if not text.isascii():
        return True
    inner = " ".join(_TEXT.findall(text))
    words = _LETTERS.findall(_TEXT.sub(r" \1 ", text))
    return any(
        (is_word(word) or word in inner) and word not in NAMES and word not in ("and", "or", "mod") for word in words
    )
