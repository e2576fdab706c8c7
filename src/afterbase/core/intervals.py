"""Confidence intervals of a proportion: what training measures of itself, and what evaluation reports."""

from collections.abc import Callable
from math import exp, lgamma, log, sqrt
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


def exact_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion (Clopper and Pearson 1934, Biometrika 26, 404-413), from binomial tails.

    It holds the true share with a probability of at least `level`, whatever that share is.
    """
    assert 0 <= successes <= n != 0, (successes, n)
    half = (1 - level) / 2
    ways = [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k in range(n + 1)]

    def tail(p: float, first: int, last: int) -> float:
        return sum(exp(ways[k] + k * log(p) + (n - k) * log(1 - p)) for k in range(first, last + 1))

    low = _root(lambda p: tail(p, successes, n) < half) if successes > 0 else 0.0
    high = _root(lambda p: tail(p, 0, successes) > half) if successes < n else 1.0
    return Interval(low, high)


def _root(is_below: Callable[[float], bool]) -> float:
    """The share in (0, 1) up to which `is_below` holds, by bisection."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return middle
