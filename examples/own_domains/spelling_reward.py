"""A reward of one's own: how much of a word is spelt backwards as it should be, from 0 to 1."""

import re
from difflib import SequenceMatcher


def score(*, answer: str, row: dict, **context) -> float:
    """1 for the right spelling, in a box; a part of it for a spelling that is nearly right; 0 without a box."""
    boxed = re.findall(r"\\boxed\{([^}]*)\}", answer)
    if not boxed:
        return 0.0
    return SequenceMatcher(None, boxed[-1].strip().lower(), row["word"][::-1]).ratio()
