"""The DROP metric: exact match and F1 of answers that are numbers, dates or spans of text.

The definition is Dua et al.'s (2019, arXiv 1903.00161, section 5) as simple-evals computes it. Words are compared in
lower case, without punctuation and articles, numbers by their value; a span is the set of its words. Predicted spans
are aligned one to one with the right ones for the largest sum of F1, and a span with none of the right one's numbers
scores nothing.
"""

import re
import string
from collections.abc import Sequence
from typing import NamedTuple

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)

Spans = str | Sequence[str]


class Score(NamedTuple):
    """Exact match, 0 or 1, and F1 in percent, rounded to two decimals."""

    em: float
    f1: float


def drop_score(prediction: Spans, gold: Spans) -> Score:
    """The score of one answer, a span or several, against one right answer."""
    given, right = _spans(prediction), _spans(gold)
    same = len(given) == len(right) and set(given) == set(right)
    words_G, words_R = [set(span.split()) for span in given], [set(span.split()) for span in right]
    gain_RG = [[_f1(g, r) for g in words_G] for r in words_R]
    f1 = best_sum(gain_RG) / max(len(given), len(right), 1)
    return Score(float(same), round(f1, 2))


def best_score(prediction: str, golds: Sequence[str]) -> Score:
    """The best exact match and the best F1 over several right answers, the blank ones left out."""
    scores = [drop_score(prediction, gold) for gold in golds if gold.strip()]
    assert scores, "a right answer is not blank"
    return Score(max(s.em for s in scores), max(s.f1 for s in scores))


def _spans(answer: Spans) -> list[str]:
    return [_normal(span) for span in ([answer] if isinstance(answer, str) else answer)]


def _normal(span: str) -> str:
    words = (_word(word) for word in re.split(" |-", span))
    return " ".join(word for word in words if word)


def _word(text: str) -> str:
    text = text.lower()
    if not _is_number(text):
        text = text.translate(_PUNCTUATION)
    if _is_number(text):
        text = str(float(text))
    return " ".join(_ARTICLES.sub(" ", text).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _f1(given: set[str], right: set[str]) -> float:
    """In percent; sets without words are alike."""
    numbers = {word for word in right if _is_number(word)}
    if numbers and not numbers & given:
        return 0.0
    shared = len(given & right)
    precision = shared / len(given) if given else 1.0
    recall = shared / len(right) if right else 1.0
    return 0.0 if precision + recall == 0 else 200 * precision * recall / (precision + recall)


def best_sum(gain_RC: Sequence[Sequence[float]]) -> float:
    """The largest sum of one entry a row and a column: the assignment problem, by shortest augmenting paths.

    Jonker and Volgenant 1987, in the form that grows by one row at a time.
    """
    if not gain_RC or not gain_RC[0]:
        return 0.0
    if len(gain_RC) > len(gain_RC[0]):
        gain_RC = list(zip(*gain_RC, strict=True))
    rows, columns = len(gain_RC), len(gain_RC[0])
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    row_of = [0] * (columns + 1)  # 0: no row; column 0 stands for the row that is being placed
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        slack, came_from, done = [float("inf")] * (columns + 1), [0] * (columns + 1), [False] * (columns + 1)
        while row_of[column]:
            done[column] = True
            here, step, following = row_of[column], float("inf"), 0
            for j in range(1, columns + 1):
                if done[j]:
                    continue
                reduced = -gain_RC[here - 1][j - 1] - row_price[here] - column_price[j]
                if reduced < slack[j]:
                    slack[j], came_from[j] = reduced, column
                if slack[j] < step:
                    step, following = slack[j], j
            for j in range(columns + 1):
                if done[j]:
                    row_price[row_of[j]] += step
                    column_price[j] -= step
                else:
                    slack[j] -= step
            column = following
        while column:
            row_of[column] = row_of[came_from[column]]
            column = came_from[column]
    return sum(gain_RC[row_of[j] - 1][j - 1] for j in range(1, columns + 1) if row_of[j])
