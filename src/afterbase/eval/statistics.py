"""Scores, intervals and paired differences, as pure functions of numbers; `summarise.py` applies them to a run.

The unit that is resampled is the problem, never the answer: k answers to one problem are one cluster, so more samples
a problem narrow an interval only as far as they should.

Not covered: the length-controlled or Bradley-Terry scores of other benchmarks.
The report (section 5.3) publishes no intervals; all of them are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, comb, sqrt
from statistics import NormalDist

import numpy as np

from afterbase.core.intervals import Interval, wilson_of_share
from afterbase.reward.votes import most_frequent

DRAWS = 10_000
_EQUAL = 1e-12  # thirds do not sum exactly
_SHARES = Interval(0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean of b minus mean of a, its percentile interval, and the two-sided bootstrap p-value of "no difference"."""

    difference: float
    low: float
    high: float
    p: float


def clustered_error(values_by_cluster: Sequence[Sequence[float]]) -> float:
    """Standard error of the mean over clusters of the mean within each: s / sqrt(n), s with n - 1; 0 for one cluster.

    With as many answers to each question, the clustered standard error of Miller (2024, arXiv 2411.00640, section 2.2)
    but for its n in the place of n - 1.
    """
    means_N = np.array([np.mean(values) for values in values_by_cluster])
    return float(means_N.std(ddof=1) / sqrt(len(means_N))) if len(means_N) > 1 else 0.0


def clustered_wilson(values_by_cluster: Sequence[Sequence[float]], level: float = 0.95) -> Interval:
    """Wilson's interval for repeated 0/1 answers a question, at the number of independent answers they are worth.

    That number is p (1 - p) / SE^2 with the clustered standard error, between the number of questions and that of
    answers (Korn and Graubard 1998, Survey Methodology 24, 193-201). With one answer a question it is Wilson's own.
    """
    questions, answers = len(values_by_cluster), sum(map(len, values_by_cluster))
    share = float(np.mean([np.mean(values) for values in values_by_cluster]))
    error = clustered_error(values_by_cluster)
    worth = share * (1 - share) / error**2 if error > 0 else 0.0
    return wilson_of_share(share, max(questions, min(answers, worth)), level)


def _resampled_means(values_N: np.ndarray, *, draws: int, seed: int) -> np.ndarray:
    """(draws,) means of N values drawn with replacement, in slices that keep the index table near 8 MB."""
    rng = np.random.default_rng(seed)
    n = len(values_N)
    slice_draws = max(1, 1_000_000 // n)
    means = [
        values_N[rng.integers(n, size=(min(slice_draws, draws - start), n))].mean(axis=1)
        for start in range(0, draws, slice_draws)
    ]
    # Thirds do not sum exactly: without rounding, a mean that is zero would fall on either side of it.
    return np.round(np.concatenate(means), 12)


def _percentiles(means: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def of_equal(value: float, n: int, bounds: Interval, level: float = 0.95) -> Interval:
    """Exact interval of a mean within `bounds` of which n draws were all equal to `value`.

    At most a share u of all draws differs, 1 - u = ((1 - level) / 2)^(1/n) by the binomial that has seen none of them
    (Clopper and Pearson 1934, Biometrika 26, 404-413), and by no more than to the bounds. At a bound it is theirs.
    """
    differing = 1 - ((1 - level) / 2) ** (1 / n)
    return Interval(value - differing * (value - bounds.low), value + differing * (bounds.high - value))


def bootstrap_mean(
    values_by_cluster: Sequence[Sequence[float]],
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = 0.95,
    bounds: Interval = _SHARES,
) -> Interval:
    """Percentile interval of the mean over clusters of the mean within each; whole clusters are resampled.

    Where all clusters have one mean there is nothing to resample: see `of_equal`, which needs the values' `bounds`.
    """
    means_N = np.array([np.mean(values) for values in values_by_cluster])
    if np.ptp(means_N) < _EQUAL:
        return of_equal(float(means_N[0]), len(means_N), bounds, level)
    return _percentiles(_resampled_means(means_N, draws=draws, seed=seed), level)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that k of n samples, c of them right, hold a right one: 1 - C(n-c, k) / C(n, k).

    Unbiased (Chen et al. 2021, arXiv 2107.03374, eq. 1), for one problem.
    """
    assert 0 <= c <= n >= k >= 1, (n, c, k)
    return 1 - comb(n - c, k) / comb(n, k)


def majority_at_k(answers: Sequence[str | None], correct: Sequence[bool], k: int) -> float:
    """Score in [0, 1] of the most frequent answer among the first k samples of one problem.

    None (no answer was found) abstains; if all abstain the score is 0. A tie is split: the score is the share of the
    tied answers that are right, which is the expected score of a fair draw between them. Answers are compared as
    strings, so the caller brings them to one form first; one that was judged both ways counts by its share.
    """
    assert len(answers) == len(correct) >= k >= 1, (len(answers), len(correct), k)
    tied = most_frequent(answers[:k])
    shares = [np.mean([c for a, c in zip(answers[:k], correct[:k], strict=True) if a == answer]) for answer in tied]
    return float(np.mean(shares)) if tied else 0.0


def paired_bootstrap(
    a_by_item: Mapping[str, float],
    b_by_item: Mapping[str, float],
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = 0.95,
) -> Difference:
    """How much better b is than a on the same items: items are resampled, and each keeps its pair of values.

    p = 2 min(#{d* <= 0} + 1, #{d* >= 0} + 1) / (draws + 1), at most 1: the level at which the percentile interval just
    reaches zero, never exactly 0 (Davison and Hinkley 1997, section 4.2). Optimistic under some 30 items.

    Where all items differ by the same, interval and p are exact, for values in [0, 1]: `of_equal`, and the sign test
    (for 0/1 values McNemar's), p = 2 / 2^n, or 1 where that difference is 0.
    """
    assert a_by_item.keys() == b_by_item.keys() != set(), "a and b must hold the same items, at least one"
    differences_N = np.array([b_by_item[item] - a_by_item[item] for item in sorted(a_by_item)])
    if np.ptp(differences_N) < _EQUAL:
        same = float(differences_N.mean())
        low, high = of_equal(same, len(differences_N), Interval(-1.0, 1.0), level)
        p = 1.0 if abs(same) < _EQUAL else min(1.0, 2 * 0.5 ** len(differences_N))
        return Difference(difference=same, low=low, high=high, p=p)
    means = _resampled_means(differences_N, draws=draws, seed=seed)
    low, high = _percentiles(means, level)
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (tail + 1) / (draws + 1))
    return Difference(difference=float(differences_N.mean()), low=low, high=high, p=p)


def non_inferior(difference: Difference, margin: float) -> bool:
    """Whether b is worse than a by less than `margin` (> 0), at one-sided (1 + level) / 2 of the interval."""
    assert margin > 0, margin
    return difference.low > -margin


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for their number, by name, in the given order (Holm 1979, Scand. J. Statist. 6, 65-70)."""
    corrected: dict[str, float] = {}
    reached = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = reached
    return {name: corrected[name] for name in p_values}


def items_to_see(difference: float, deviation: float, *, level: float = 0.95, power: float = 0.8) -> int:
    """How many items show a paired difference (> 0), with the standard deviation of the items' differences.

    n = ((z_level + z_power) deviation / difference)^2, for a two-sided test (Miller 2024, arXiv 2411.00640, section 5).
    """
    assert difference > 0 <= deviation, (difference, deviation)
    return max(1, ceil((_both_quantiles(level, power) * deviation / difference) ** 2))


def seen_with(items: int, deviation: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest paired difference that so many items show; see `items_to_see`."""
    return _both_quantiles(level, power) * deviation / sqrt(items)


def _both_quantiles(level: float, power: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(power)
