from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.mathematics.algebra import rational
from afterbase.verify.mathematics.regions import (
    EVERYTHING,
    INFINITY,
    MINUS_INFINITY,
    Bound,
    Interval,
    Region,
    complement,
    intersection,
    union,
)


def _bound(n: int) -> Bound:
    return {-9: MINUS_INFINITY, 9: INFINITY}.get(n, Bound(float(n), rational(n)))


def _interval(ends: tuple[int, int], low_open: bool, high_open: bool) -> Interval:
    low, high = map(_bound, sorted(ends))
    return Interval(low, high, low_open or low.exact is None, high_open or high.exact is None)


intervals = st.builds(_interval, st.tuples(st.integers(-9, 9), st.integers(-9, 9)), st.booleans(), st.booleans())
regions = st.lists(intervals, max_size=4).map(union)
POINTS = [n / 2 for n in range(-40, 41)]


def _members(region: Region) -> set[float]:
    def holds(x: float, one: Interval) -> bool:
        above = x > one.low.about or (x == one.low.about and not one.low_open)
        return above and (x < one.high.about or (x == one.high.about and not one.high_open))

    return {x for x in POINTS if any(holds(x, one) for one in region)}


@given(st.lists(intervals, max_size=4), regions)
def test_unions_complements_and_intersections_have_the_right_members(parts: list[Interval], other: Region) -> None:
    region = union(parts)
    assert _members(region) == set().union(*(_members((part,)) for part in parts)) if parts else not region
    assert _members(complement(region)) == set(POINTS) - _members(region)
    assert _members(intersection(region, other)) == _members(region) & _members(other)
    assert complement(complement(region)) == region


def test_everything_and_nothing() -> None:
    assert complement(EVERYTHING) == ()
    assert complement(()) == EVERYTHING
