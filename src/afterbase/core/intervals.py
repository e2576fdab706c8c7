"""Confidence intervals of a proportion: what training measures of itself, and what evaluation reports."""

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A confidence interval, ends included."""

    low: float
    high: float


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson 1927): honest at 0 of n and n of n, where the normal one has no width.

    `successes` may be a sum of partial credits in [0, 1]: their variance is at most that of a coin with the same
    mean, so the interval is then too wide rather than too narrow.
    """
    assert 0 <= successes <= n != 0, (successes, n)
    return wilson_of_share(successes / n, n, level)


def wilson_of_share(share: float, n: float, level: float = 0.95) -> Interval:
    """`wilson` of a share, of a number of trials that need not be whole."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # A share of 0 or 1 is inside its own interval; rounding alone would put it a hair outside.
    return Interval(max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))
