r"""Sets of real numbers as unions of intervals: (1,2)\cup(3,4), x > 2, x \neq 2, \{x \mid -2 \le x < 1\}."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from afterbase.verify.mathematics.algebra import Quotient


class Bound(NamedTuple):
    """An end of an interval: about where, and its exact value, None at infinity."""

    about: float
    exact: Quotient | None


class Interval(NamedTuple):
    """From `low` to `high`; `open` ends do not belong to it."""

    low: Bound
    high: Bound
    low_open: bool
    high_open: bool


Region = tuple[Interval, ...]
"""Intervals in order, apart from each other."""

MINUS_INFINITY, INFINITY = Bound(-math.inf, None), Bound(math.inf, None)
EVERYTHING: Region = (Interval(MINUS_INFINITY, INFINITY, True, True),)
_NEAR = 1e-12


def union(intervals: Sequence[Interval]) -> Region:
    """The intervals in order, those that touch made one."""
    out: list[Interval] = []
    for interval in sorted(intervals, key=lambda one: (one.low.about, one.low_open)):
        if _is_empty(interval):
            continue
        if not out or _disjoint(out[-1], interval):
            out.append(interval)
            continue
        last = out[-1]
        if _same(last.high, interval.high):
            out[-1] = last._replace(high_open=last.high_open and interval.high_open)
        elif interval.high.about > last.high.about:
            out[-1] = last._replace(high=interval.high, high_open=interval.high_open)
    return tuple(out)


def complement(region: Region) -> Region:
    out, low, low_open = [], MINUS_INFINITY, True
    for interval in region:
        out.append(Interval(low, interval.low, low_open, not interval.low_open))
        low, low_open = interval.high, not interval.high_open
    return union([*out, Interval(low, INFINITY, low_open, True)])


def intersection(a: Region, b: Region) -> Region:
    return complement(union([*complement(a), *complement(b)]))


def _same(a: Bound, b: Bound) -> bool:
    if a.exact is None or b.exact is None:
        return a.about == b.about
    return abs(a.about - b.about) <= _NEAR * max(abs(a.about), abs(b.about))


def _is_empty(interval: Interval) -> bool:
    if interval.low.exact is None or interval.high.exact is None:
        return interval.low.about >= interval.high.about
    if _same(interval.low, interval.high):
        return interval.low_open or interval.high_open
    return interval.low.about > interval.high.about


def _disjoint(left: Interval, right: Interval) -> bool:
    if _same(left.high, right.low):
        return left.high_open and right.low_open
    return left.high.about < right.low.about
