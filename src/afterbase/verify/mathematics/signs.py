r"""The meaning of signs alone: "not", "and" and "or", and letters whose order counts (ABC is not ACB)."""

import re

_NEGATES = re.compile(
    r"\\(?:not(?:in)?|neq?|neg|lnot|n(?:leq|geq|less|gtr|mid|parallel|sim|cong|subseteq|supseteq))(?![a-zA-Z])|[≠¬∉]"
)
_RELATES = re.compile(
    r"\\(equiv|sim|simeq|cong|(?:sub|sup)set(?:eq)?|mid|parallel|perp|propto|ll|gg|prec|succ|oplus|otimes|forall|exists"
    r"|implies|iff)(?![a-zA-Z])"
)
_BOTH, _EITHER = re.compile(r"\\(?:land|wedge)(?![a-zA-Z])|∧"), re.compile(r"\\(?:lor|vee)(?![a-zA-Z])|∨")
_LETTERED = re.compile(r"(?:m\s*)?(\\angle)?\s*(?:\\text\s*)?\{?\s*([A-Z]{3,})\s*\}?")


def denies(text: str) -> bool:
    """Whether a sign in it says "not"."""
    return _NEGATES.search(text) is not None


def relations(text: str) -> set[str]:
    r"""The signs in it that relate two things as no number is related: x \equiv 2 is not x = 2."""
    return set(_RELATES.findall(text))


def differ_in_connective(one: str, other: str) -> bool:
    r"""p \land q is not p \lor q, though a list may be given by "and" or by "or"."""
    return {_is_conjunction(one), _is_conjunction(other)} == {True, False}


def same_letters(right: str, got: str) -> bool | None:
    """Whether two orders of capital letters, or two angles, are the same; None for what is no such pair."""
    one = _LETTERED.fullmatch(right)
    other = _LETTERED.fullmatch(got) if one is not None else None
    if one is None or other is None:
        return None
    return one[2] == other[2] or (one[1] is not None and one[2] == other[2][::-1])


def _is_conjunction(text: str) -> bool | None:
    """Whether the signs of logic in it are all "and", or (False) all "or"; None without, or with both."""
    if text.isascii() and "\\" not in text:
        return None
    both, either = _BOTH.search(text) is not None, _EITHER.search(text) is not None
    return both if both != either else None
