"""How much reviewers agree beyond chance: Krippendorff's alpha and Cohen's kappa, for categories without an order.

A *unit* is what one draft got: {reviewer: category}. Both measures are 1 for perfect agreement and 0 for what chance
would give; where nobody ever used a second category, chance explains everything and neither is defined (None).
Intervals are percentile bootstraps over units. Units that look alike are counted rather than kept, so a resample is a
few numbers, and the work does not grow with the drafts.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Unit = Mapping[str, str]
_Measure = Callable[[NDArray[np.floating]], NDArray[np.floating]]  # of (resamples, patterns) weights, one a resample
_RESAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A measure over `units` drafts and its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    units: int
    disagreements: int
    """Units whose reviewers did not all say the same."""


_NOTHING = Agreement(value=None, low=None, high=None, units=0, disagreements=0)


def alpha(units: Sequence[Unit], *, seed: int = 0) -> Agreement:
    """Krippendorff's alpha for nominal data; units with fewer than two ratings do not count.

    1 - D_o / D_e, with D_o = sum_u sum_c n_uc (m_u - n_uc) / (m_u - 1) / n and D_e = sum_c n_c (n - n_c) / n / (n - 1):
    n_uc ratings of category c in unit u, m_u in the unit, n_c and n over all units (Krippendorff, Content Analysis,
    4th edition, chapter 12).
    """
    rated = [list(unit.values()) for unit in units if len(unit) > 1]
    if not rated:
        return _NOTHING
    categories = sorted({category for unit in rated for category in unit})
    counts_UC = np.array([[unit.count(c) for c in categories] for unit in rated], float)
    counts_PC, times_P = np.unique(counts_UC, axis=0, return_counts=True)
    sizes_P1 = counts_PC.sum(1, keepdims=True)
    differ_P = (counts_PC * (sizes_P1 - counts_PC)).sum(1) / (sizes_P1[:, 0] - 1)

    def measure(weights_RP: NDArray[np.floating]) -> NDArray[np.floating]:
        totals_RC = weights_RP @ counts_PC
        n_R = totals_RC.sum(1)
        chance_R = (totals_RC * (n_R[:, None] - totals_RC)).sum(1)
        return _one_minus((n_R - 1) * (weights_RP @ differ_P), chance_R)

    return _with_interval(measure, times_P, differ_P > 0, seed)


def kappa(pairs: Sequence[tuple[str, str]], *, seed: int = 0) -> Agreement:
    """Cohen's kappa of two raters, one pair of categories a unit.

    1 - (1 - p_o) / (1 - p_e): p_o the share of equal pairs, p_e what the raters' own shares would give (Cohen, A
    Coefficient of Agreement for Nominal Scales, 1960).
    """
    if not pairs:
        return _NOTHING
    categories = sorted({category for pair in pairs for category in pair})
    counted = Counter(pairs)
    first_PC = np.array([[a == c for c in categories] for a, _ in counted], float)
    second_PC = np.array([[b == c for c in categories] for _, b in counted], float)
    differ_P = np.array([a != b for a, b in counted], float)

    def measure(weights_RP: NDArray[np.floating]) -> NDArray[np.floating]:
        n_R = weights_RP.sum(1)
        equal_by_chance_R = ((weights_RP @ first_PC) * (weights_RP @ second_PC)).sum(1)
        return _one_minus(n_R * (weights_RP @ differ_P), n_R**2 - equal_by_chance_R)

    return _with_interval(measure, np.array(list(counted.values()), int), differ_P > 0, seed)


def pairs_of(units: Sequence[Unit], first: str, second: str) -> list[tuple[str, str]]:
    """The categories of the units that both reviewers rated."""
    return [(unit[first], unit[second]) for unit in units if first in unit and second in unit]


def by_pair(units: Sequence[Unit], *, seed: int = 0) -> dict[tuple[str, str], Agreement]:
    """Kappa of every two reviewers who share a unit, by their names in order."""
    names = sorted({name for unit in units for name in unit})
    shared = {pair: pairs_of(units, *pair) for pair in itertools.combinations(names, 2)}
    return {pair: kappa(rated, seed=seed) for pair, rated in shared.items() if rated}


def by_reviewer(units: Sequence[Unit], *, seed: int = 0) -> dict[str, Agreement]:
    """Alpha over the units that a reviewer shares with others, by name."""
    names = sorted({name for unit in units if len(unit) > 1 for name in unit})
    return {name: alpha([unit for unit in units if name in unit], seed=seed) for name in names}


def _one_minus(observed_R: NDArray[np.floating], expected_R: NDArray[np.floating]) -> NDArray[np.floating]:
    """1 - observed / expected, NaN where nothing is expected."""
    defined_R = expected_R > 0
    return 1 - np.divide(observed_R, expected_R, out=np.full_like(expected_R, np.nan), where=defined_R)


def _with_interval(measure: _Measure, times_P: NDArray[np.int64], differ_P: NDArray[np.bool_], seed: int) -> Agreement:
    """The measure of all units, and the percentiles of it over resampled ones; `times_P` units look like each pattern.

    Resamples without a second category say nothing and are left out; if that is most of them, there is no interval.
    """
    units, disagreements = int(times_P.sum()), int(times_P[differ_P].sum())
    value = measure(times_P[None] * 1.0)[0]
    resampled = measure(np.random.default_rng(seed).multinomial(units, times_P / units, _RESAMPLES) * 1.0)
    said = resampled[~np.isnan(resampled)]
    low = high = None
    if not np.isnan(value) and 2 * len(said) > _RESAMPLES:
        low, high = (float(q) for q in np.quantile(said, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]))
    return Agreement(
        value=None if np.isnan(value) else float(value), low=low, high=high, units=units, disagreements=disagreements
    )
