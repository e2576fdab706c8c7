"""How much a judge can be trusted: what its verdicts depend on besides quality. Each docstring says the formula.

Of battles between models, judged in both orders, each measure has a 95 % interval. A judge without position bias gives
the same verdict twice; one without length bias prefers the longer answer as often as it is better, so that this share
alone convicts nobody: compare it with the share among battles that people decided. Questions are resampled whole, with
all their battles. Of pairs of which one answer is known to be better, `length_gap` and `verdict_gap` are the same
biases, told from accuracy.

Position bias: Zheng et al. 2023, arXiv 2306.05685, section 3.3; there too self-enhancement, our self-preference.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from afterbase.core.intervals import Interval, wilson
from afterbase.eval.statistics import bootstrap_mean

_SEED = 0  # of the bootstrap: the same battles give the same interval


@dataclass(frozen=True, kw_only=True)
class Battle:
    """One question's two answers, judged in both orders.

    The judge's preference for the contestant, in [0, 1], when its answer was shown first and when second; None where
    there is no verdict. `longer` is the contestant's length less the baseline's, `task` the kind of question.
    """

    question: str
    task: str
    shown_first: float | None
    shown_second: float | None
    longer: int

    @property
    def preference(self) -> float | None:
        """Of both orders; None if one is missing."""
        if self.shown_first is None or self.shown_second is None:
            return None
        return (self.shown_first + self.shown_second) / 2


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number with its 95 % interval, and of how many battles or verdicts it is."""

    value: float
    low: float
    high: float
    n: int


def position_bias(battles: Iterable[Battle]) -> Measure | None:
    """Mean of (preference when shown first - when shown second) / 2: 0 is fair, 0.5 is always the first."""

    def bias(battle: Battle) -> float | None:
        if battle.shown_first is None or battle.shown_second is None:
            return None
        return (battle.shown_first - battle.shown_second) / 2

    return _mean(battles, bias, least=-0.5, most=0.5)


def consistency(battles: Iterable[Battle]) -> Measure | None:
    """The share of battles in which both orders name the same winner, or both a tie."""

    def same(battle: Battle) -> float | None:
        if battle.shown_first is None or battle.shown_second is None:
            return None
        return float(_sign(battle.shown_first) == _sign(battle.shown_second))

    return _mean(battles, same)


def length_bias(battles: Iterable[Battle]) -> Measure | None:
    """Mean preference for the longer of two answers - 0.5; battles of equal lengths are left out."""

    def towards_longer(battle: Battle) -> float | None:
        if battle.preference is None or battle.longer == 0:
            return None
        return (battle.preference - 0.5) * _sign(battle.longer, 0)

    return _mean(battles, towards_longer, least=-0.5, most=0.5)


def verdict_gap(verdicts: Sequence[object]) -> float | None:
    """(verdicts for A - verdicts for B) / both, of pairs shown in both orders: 0 is fair, 1 is always the first.

    Twice `position_bias` where every verdict is given and none is a tie. None without a verdict for either.
    """
    for_a, for_b = verdicts.count("A"), verdicts.count("B")
    return (for_a - for_b) / (for_a + for_b) if for_a + for_b else None


def length_gap(right: Sequence[float], longer: Sequence[int]) -> float | None:
    """Accuracy where the better answer is longer than the other - accuracy where it is shorter; 0 is fair.

    `right` in [0, 1] and `longer`, the better answer's length less the other's, of each pair. None where one of the two
    kinds of pairs is missing.
    """
    sides: dict[bool, list[float]] = {True: [], False: []}
    for credit, difference in zip(right, longer, strict=True):
        if difference:
            sides[difference > 0].append(credit)
    if not (sides[True] and sides[False]):
        return None
    return statistics.fmean(sides[True]) - statistics.fmean(sides[False])


def no_verdict(battles: Iterable[Battle]) -> Measure:
    """The share of the judge's replies without a verdict. There is one battle at least."""
    verdicts = [verdict for battle in battles for verdict in (battle.shown_first, battle.shown_second)]
    missing = sum(verdict is None for verdict in verdicts)
    low, high = wilson(missing, len(verdicts))
    return Measure(value=missing / len(verdicts), low=low, high=high, n=len(verdicts))


def self_preference(own: Sequence[Battle], by_others: Sequence[Battle]) -> Measure | None:
    """How much more a judge prefers its own answers than other judges prefer them, on the same questions."""
    others = defaultdict(list)
    for battle in by_others:
        if battle.preference is not None:
            others[battle.question].append(battle.preference)

    def more(battle: Battle) -> float | None:
        theirs = others[battle.question]
        return None if battle.preference is None or not theirs else battle.preference - sum(theirs) / len(theirs)

    return _mean(own, more, least=-1.0)


def agreement(verdicts: Sequence[float | None]) -> Measure | None:
    """With people: the mean of 1 for their verdict, 0 for the other, 0.5 for a tie; None where there was no verdict."""
    given = [verdict for verdict in verdicts if verdict is not None]
    if not given:
        return None
    low, high = wilson(sum(given), len(given))
    return Measure(value=sum(given) / len(given), low=low, high=high, n=len(given))


def by_task(battles: Iterable[Battle]) -> dict[str, Measure]:
    """The contestant's win rate by kind of question, where it was judged at all."""
    groups = defaultdict(list)
    for battle in battles:
        groups[battle.task].append(battle)
    rates = {task: _mean(group, lambda battle: battle.preference) for task, group in sorted(groups.items())}
    return {task: rate for task, rate in rates.items() if rate is not None}


def _mean(
    battles: Iterable[Battle], of: Callable[[Battle], float | None], *, least: float = 0.0, most: float = 1.0
) -> Measure | None:
    values = defaultdict(list)
    for battle in battles:
        value = of(battle)
        if value is not None:
            values[battle.question].append(value)
    if not values:
        return None
    clusters = list(values.values())
    mean = sum(sum(cluster) / len(cluster) for cluster in clusters) / len(clusters)
    low, high = bootstrap_mean(clusters, seed=_SEED, bounds=Interval(least, most))
    return Measure(value=mean, low=low, high=high, n=sum(map(len, clusters)))


def _sign(value: float, middle: float = 0.5) -> int:
    return (value > middle) - (value < middle)
