"""Arena-Hard's scores from a judge's verdicts, versions 0.1 and 2.0 (Li et al. 2024, arXiv 2406.11939).

Every model meets one baseline on every prompt, in two games: the baseline is A in the first, the model in the second. A
clear verdict (>>) counts as three battles. A battle's outcome is the model's share of it: 1, 0.5 or 0.

The score is 100 times the mean outcome. It is also what the Bradley-Terry fit of version 0.1 gives: since the baseline
is in every battle, the likelihood falls apart into one factor a model, with its optimum at the model's mean. Intervals
are percentiles of 100 bootstrap draws: in 0.1 over all battles together, on Elo's scale, 2.5 to 97.5 % (utils_math.py
at efc012e, with its seed: the same draws), in 2.0 over each model's own, 5 to 95 % (show_result.py at 196f6b8, which
has no seed). Version 2.0 prints the mean of the draws as its score; here it is the mean itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from afterbase.core.reasoning import answer_of

Version = Literal["0.1", "2.0"]

BASELINES = {
    "arena-hard-v0.1": "gpt-4-0314",
    "hard_prompt": "o3-mini-2025-01-31",
    "creative_writing": "gemini-2.0-flash-001",
}
"""By category, as published."""
DRAWS = 100
SEEDS: dict[Version, int] = {"0.1": 42, "2.0": 0}
TAILS: dict[Version, tuple[float, float]] = {"0.1": (0.025, 0.975), "2.0": (0.05, 0.95)}

_LABEL = r"[AB<>=]+"
_DOUBLE, _SINGLE = re.compile(rf"\[\[({_LABEL})\]\]"), re.compile(rf"\[({_LABEL})\]")
_CLEAR = 3
_FIRST_WINS: dict[Version, dict[str, list[float]]] = {
    "0.1": {"A>>B": [1.0] * _CLEAR, "A>B": [1.0], "A=B": [0.5], "B>A": [0.0], "B>>A": [0.0] * _CLEAR}
}
_FIRST_WINS["2.0"] = _FIRST_WINS["0.1"] | {
    "B<<A": [1.0] * _CLEAR, "B<A": [1.0], "B=A": [0.5], "A<B": [0.0], "A<<B": [0.0] * _CLEAR,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Battles:
    """One entry a battle, in the order of the file: who met the baseline, on what, and the model's share of it."""

    baseline: str
    models: list[str]
    questions: list[str]
    model_B: np.ndarray
    question_B: np.ndarray
    outcome_B: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Score:
    """In percent."""

    score: float
    ci_low: float
    ci_high: float


def verdict(judgment: str, version: Version) -> str | None:
    """The label a judge's text ends in, its thought aside; None if there is none.

    0.1: what stands in [[ ]], if all that does is the same. 2.0: the last in [[ ]], else in [ ], in capitals or not.

    >>> verdict("Both are right, A says why. My final verdict is: [[A>B]]", "0.1")
    'A>B'
    """
    judgment = answer_of(judgment) or ""
    if version == "0.1":
        found = set(_DOUBLE.findall(judgment))
        return found.pop() if len(found) == 1 else None
    labels = _DOUBLE.findall(judgment.upper()) or _SINGLE.findall(judgment.upper())
    return labels[-1] if labels else None


def outcomes(labels: Sequence[str | None], version: Version) -> list[float]:
    """The model's share of each battle in a row's two games. KeyError for a label that version 2.0 does not know.

    0.1 leaves out a game without a known label; 2.0 the whole row, if a game has none (None).
    """
    first, second = labels
    known = _FIRST_WINS[version]
    if version == "0.1":
        return [1 - s for s in known.get(first or "", [])] + known.get(second or "", [])
    if first is None or second is None:
        return []
    return known[second] + [1 - s for s in known[first]]


def first_share(label: str | None, version: Version) -> float | None:
    """The share of a battle with this label that goes to the answer shown first; None if it is no known label."""
    return _FIRST_WINS[version].get(label or "", [None])[0]


def known_label(label: str, version: Version) -> bool:
    """Whether a version knows what a label is worth."""
    return label in _FIRST_WINS[version]


def score(battles: Battles, version: Version) -> dict[str, Score]:
    """Each model's score and interval, and the baseline's 50. Each model is in one battle or more.

    >>> games = np.zeros(4, dtype=int)
    >>> battles = Battles(
    ...     baseline="gpt-4-0314", models=["ours"], questions=["q"], model_B=games, question_B=games,
    ...     outcome_B=np.array([1.0, 1.0, 0.0, 0.5]),
    ... )
    >>> score(battles, "2.0")["ours"].score
    62.5
    """
    models = len(battles.models)
    counts_M = np.bincount(battles.model_B, minlength=models)
    mean_M = np.bincount(battles.model_B, battles.outcome_B, models) / counts_M
    return intervals(battles, mean_M, _means(battles, version), version)


def intervals(battles: Battles, share_M: np.ndarray, share_DM: np.ndarray, version: Version) -> dict[str, Score]:
    """Scores of shares in [0, 1] with the percentiles of bootstrap draws of them; NaN where a draw has no battle."""
    out = {}
    for m, name in enumerate(battles.models):
        low, high = (_quantile(share_DM[:, m], tail, version) for tail in TAILS[version])
        out[name] = Score(score=100 * float(share_M[m]), ci_low=100 * low, ci_high=100 * high)
    out[battles.baseline] = Score(score=50.0, ci_low=50.0, ci_high=50.0)
    return out


def draws(n: int, version: Version) -> "list[np.ndarray]":
    """Indices of n battles drawn with replacement, `DRAWS` times, as numpy's legacy generator gives them to pandas."""
    rng = np.random.RandomState(SEEDS[version])
    return [rng.randint(0, n, n) for _ in range(DRAWS)]


def _means(battles: Battles, version: Version) -> np.ndarray:
    """(D, M) each model's mean outcome in every draw."""
    models = len(battles.models)
    if version == "2.0":
        rng = np.random.RandomState(SEEDS[version])
        own = [battles.outcome_B[battles.model_B == m] for m in range(models)]
        by_name = sorted(range(models), key=battles.models.__getitem__)
        means_DM = np.empty((DRAWS, models))
        for draw_M in means_DM:
            for m in by_name:
                draw_M[m] = own[m][rng.randint(0, len(own[m]), len(own[m]))].mean()
        return means_DM
    # An outcome is a whole number of halves: one count over (model, halves) says all of a draw.
    cell_B = 3 * battles.model_B + (2 * battles.outcome_B).astype(int)
    counts_DMH = np.stack(
        [np.bincount(cell_B[draw], minlength=3 * models).reshape(models, 3) for draw in draws(len(cell_B), version)]
    )
    with np.errstate(invalid="ignore"):  # a model that a draw left out
        return (counts_DMH @ np.array([0, 0.5, 1])) / counts_DMH.sum(axis=2)


def _quantile(share_D: np.ndarray, tail: float, version: Version) -> float:
    """Linear between the two nearest draws: of shares in 2.0, of their log odds (Elo) in 0.1."""
    ordered = np.sort(share_D[~np.isnan(share_D)])
    place = tail * (len(ordered) - 1)
    below, above = ordered[int(np.floor(place))], ordered[int(np.ceil(place))]
    part = place - np.floor(place)
    if version == "2.0" or below in (0, above) or above == 1:  # Elo has no end to interpolate to
        return float(below + part * (above - below))
    odds = (1 - part) * np.log(below / (1 - below)) + part * np.log(above / (1 - above))
    return float(1 / (1 + np.exp(-odds)))
