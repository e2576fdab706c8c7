r"""Answers in words: \text{June 20}, Yes, no solution, the letter of a choice, a time of day, names in any order."""

import re

from afterbase.verify.mathematics.functions import NAMES
from afterbase.verify.mathematics.units import is_word, measured

_TEXT = re.compile(r"\\(?:text|mathbf)\s*\{([^{}]*)\}")
_LETTERS = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]{2,}")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?|\$|[^\x00-\x7f\s“”‘’«»„]")  # and signs that are no letters: £, ♠
_FORMULA = re.compile(r"[\\^_{}=<>+*/|\[\]]")
_JOINED = re.compile(r"\s*(?:,|;|&|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z]))\s*")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)(?![a-zA-Z])")
_ARTICLES = frozenset(["a", "an", "the"])
_CHOICE = re.compile(r"\s*\(?\s*([A-J])\s*\)?\s*")
_CHOSEN = re.compile(r"\s*(?:\\(?:text|mathbf)\s*\{)?\s*\(\s*([A-J])\s*\)\s*\}?(?![\w^_+*/=-])\s*\S.*", re.DOTALL)
_CLOCK = re.compile(
    r"\s*(\d{1,2})(?:\s*:\s*(\d{2})(?::(\d{2}))?)?\s*(?:\\text\s*\{)?\s*(?:([ap])\.?\s?m\.?)?\s*\}?\.?\s*",
    re.IGNORECASE,
)
_SIGNED = re.compile(r"\s*[-+!~]\s*[({\s]*[a-z]", re.IGNORECASE)  # -even, !true
_MONTH = re.compile(
    r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?"
)
_SAYINGS = (  # in these words, or without articles in others
    (re.compile(r"(?:(?:it|limit|sum|integral|value|derivative|answer) )?(?:dne|do(?:es)?(?: not|n't) exist)"), "dne"),
    (
        re.compile(
            r"(?:(?:there (?:is|are|exists?)|(?:(?:it|equation|system|problem) )?ha(?:s|ve)) )?"
            r"no (real |integer )?solutions?(?: exists?)?"
        ),
        r"no \1solution",
    ),
    (re.compile(r"(?:there are )?(?:infinitely many|infinite(?: number of)?) solutions?"), "infinitely many"),
    (re.compile(r"(?:(?:it|value|slope|expression) )?(?:is )?(?:undefined|not defined)"), "undefined"),
)
_ANSWERS = frozenset([("yes",), ("no",), ("true",), ("false",)])
_NOTHING = re.compile(r"\\emptyset|\\?\{\s*\\?\}|no (?:real |integer )?solution|empty set", re.IGNORECASE)


def same_words(right: str, got: str) -> bool | None:
    """Whether two spelled texts say the same in words; None if the right one is no text of words."""
    choice = _choice(right)
    if choice is not None and choice == _choice(got):
        return True
    clocks = _CLOCK.fullmatch(right), _CLOCK.fullmatch(got)
    if clocks[0] is not None and clocks[1] is not None:
        return _same_time(clocks[0], clocks[1])
    expected = _said(right)
    if _is_nothing(right, expected) and _is_nothing(got, _said(got)):
        return True
    if expected is None:
        return None
    if expected == _said(got):
        return True
    return None if measured(right).text != right.strip() or not _is_prose(right) else False


def _choice(text: str) -> str | None:
    found = _CHOICE.fullmatch(_TEXT.sub(r"\1", text)) or _CHOSEN.fullmatch(text)
    return found[1] if found else None


def _same_time(right: re.Match[str], got: re.Match[str]) -> bool | None:
    """The same minute, of the same half of the day where both say which; None for ratios and numbers."""
    halves = right[4], got[4]
    if not any(halves) and not any((time[2] or "").startswith("0") for time in (right, got)):
        return None
    if any(time[2] is None and time[4] is None for time in (right, got)):
        return None
    (hour, *rest), (other, *others) = _hour_and_rest(right), _hour_and_rest(got)
    sure = all(time[4] or int(time[1]) > 12 for time in (right, got))
    return rest == others and (hour == other if sure else hour % 12 == other % 12)


def _hour_and_rest(time: re.Match[str]) -> list[int]:
    """Hour of the day, minute and second."""
    hour = int(time[1])
    if time[4]:
        hour = hour % 12 + 12 * (time[4].lower() == "p")
    return [hour, int(time[2] or 0), int(time[3] or 0)]


def _said(text: str) -> list[tuple[str, ...]] | None:
    """The words of each name, None for a formula; their order counts where they answer questions (true, false)."""
    text = _TEXT.sub(r" \1 ", text)
    if _FORMULA.search(text) or not (_LETTERS.search(text) or not text.isascii()):
        return None
    text = _ORDINAL.sub("", text)
    parts = _JOINED.split(text)
    if any(_SIGNED.match(part) for part in parts):
        return None
    date = _date(_WORD.findall(text.casefold()))
    if date is not None:
        return [date]
    out = [said for part in parts if (said := _saying(part))]
    return out if any(said in _ANSWERS for said in out) else sorted(out)


def _saying(part: str) -> tuple[str, ...]:
    """The words without articles, of a saying that has several wordings always the same ones."""
    words = tuple(word for word in _WORD.findall(part.casefold().replace("non-", "non")) if word not in _ARTICLES)
    for saying, instead in _SAYINGS if 1 <= len(words) <= 8 else ():
        if (found := saying.fullmatch(" ".join(words))) is not None:
            return tuple(found.expand(instead).split())
    return words


def _date(words: list[str]) -> tuple[str, ...] | None:
    """Month, day and year, in whichever order they were written, if the words are a date."""
    months = [found[1] for word in words if (found := _MONTH.fullmatch(word)) is not None]
    numbers = [str(int(word)) for word in words if word.isdecimal() and len(word) <= 4]
    others = len(words) - len(months) - len(numbers) - words.count("of") - words.count("the")
    return ("date", *months, *sorted(numbers)) if len(months) == 1 and 1 <= len(numbers) <= 2 and not others else None


def _is_nothing(text: str, said: list[tuple[str, ...]] | None) -> bool:
    """Whether it says that nothing solves the problem, in words or as the empty set."""
    return (
        _NOTHING.fullmatch(text.strip() if said is None else " ".join(word for part in said for word in part))
        is not None
    )


def _is_prose(text: str) -> bool:
    """Whether some word cannot be a product of letters, a unit or a function."""
    if not text.isascii():
        return True
    inner = " ".join(_TEXT.findall(text))
    words = _LETTERS.findall(_TEXT.sub(r" \1 ", text))
    return any(
        (is_word(word) or word in inner) and word not in NAMES and word not in ("and", "or", "mod") for word in words
    )
