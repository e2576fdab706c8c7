"""The same text in other words, by rules that do not touch its meaning: contractions, and a few plain synonyms.

What a judge says of a text should not depend on them. Rules are few on purpose: each has to be safe in any sentence.
"""

import re

_RULES = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't", "are not": "aren't",
    "was not": "wasn't", "cannot": "can't", "will not": "won't", "it is": "it's", "I am": "I'm", "you are": "you're",
    "we are": "we're", "they are": "they're", "there is": "there's", "that is": "that's", "I have": "I've",
    "I will": "I'll",
    "big": "large", "begins": "starts", "begin": "start", "perhaps": "maybe", "almost": "nearly",
    "everyone": "everybody", "someone": "somebody", "often": "frequently",
    "until": "till", "although": "though",
    "each day": "every day", "each week": "every week", "each month": "every month", "each year": "every year",
    "miles per hour": "miles an hour", "compute": "calculate", "find the value": "determine the value",
    "which of the following": "which one of the following", "suppose that": "assume that",
}  # fmt: skip
_BOTH_WAYS = {one.lower(): other for pair in _RULES.items() for one, other in (pair, pair[::-1])}
_ANY = re.compile(
    rf"(?<![\w'])(?:{'|'.join(sorted(map(re.escape, _BOTH_WAYS), key=len, reverse=True))})(?![\w'])", re.IGNORECASE
)


def paraphrase(text: str) -> str | None:
    """The text with every rule applied once, one way or the other; None where no rule applies."""
    changed = _ANY.sub(lambda found: _as_written(found[0], _BOTH_WAYS[found[0].lower()]), text)
    return None if changed == text else changed


def _as_written(found: str, other: str) -> str:
    """The replacement, with a capital where what it replaces has one."""
    return other[0].upper() + other[1:] if found[0].isupper() else other
