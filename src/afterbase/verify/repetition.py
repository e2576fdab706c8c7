"""How much of a text has stood in it before: runs of words that come again, and an end that goes round in a loop.

Both take time in proportion to the text, a megabyte included. Words are as long as 20 characters; each Chinese or
Japanese character is one, so that a text without spaces is measured as well.
"""

import re

RUN = 12
"""Words of a run: shorter ones come again in any careful argument ("so we get", "the sum of the two numbers is")."""

_LAPS = 3  # times that the end must have been said to be a loop
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\d|[^\W\d\u3040-\u30ff\u3400-\u9fff]{1,20}|[^\w\s]")


def repetition_rate(text: str) -> float:
    """Share of the text that repeats it, by runs or by its looping end, whichever is more; 0 if empty."""
    tokens = _TOKEN.findall(text)
    return max(_repeated(tokens, RUN), _looping(tokens))


def repeated_share(text: str, *, run: int = RUN) -> float:
    """Share of all runs of `run` words that have stood before (arXiv 2502.03373, section 4.2, penalises these)."""
    return _repeated(_TOKEN.findall(text), run)


def looping_share(text: str) -> float:
    """Share of the text that its end takes by saying one thing three times or more, however long the thing is."""
    return _looping(_TOKEN.findall(text))


def _repeated(tokens: list[str], run: int) -> float:
    total = len(tokens) - run + 1
    if total < 1:
        return 0.0
    seen = {hash(tuple(tokens[i : i + run])) for i in range(total)}
    return 1 - len(seen) / total


def _looping(tokens: list[str]) -> float:
    """By the borders of the reversed text (Knuth, Morris, Pratt): a prefix of n with border b has the period n - b."""
    backwards = tokens[::-1]
    borders = [0] * len(backwards)
    longest = 0
    for n in range(1, len(backwards)):
        border = borders[n - 1]
        while border and backwards[n] != backwards[border]:
            border = borders[border - 1]
        if backwards[n] == backwards[border]:
            border += 1
        borders[n] = border
        period = n + 1 - border
        if n + 1 >= _LAPS * period and n + 1 >= RUN:
            longest = n + 1
    # The last lap may be cut off: what is left of a longer loop is then no whole multiple, and still all of it.
    return longest / len(tokens) if tokens else 0.0
