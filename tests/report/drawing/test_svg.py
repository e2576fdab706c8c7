"""Scales that enclose their data, drawings that are well-formed, names that cannot break out."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.report.drawing.svg import (
    BOTTOM,
    LEFT,
    RIGHT,
    SMALL,
    TOP,
    WIDE,
    Axis,
    Plot,
    Series,
    interval,
    line_chart,
    nice_ticks,
    share_ticks,
    tick_label,
)

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 0.93, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.05, 0.71, [-0.2, 0, 0.2, 0.4, 0.6, 0.8]),
        (4, 4, [2, 3, 4, 5, 6]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


@given(NUMBERS, NUMBERS)
def test_ticks_enclose_the_data_evenly_and_are_few(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high)
    slack = 1e-6 * max(1.0, high - low)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 3 <= len(ticks) <= 10
    steps = [b - a for a, b in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-4)


@pytest.mark.parametrize(
    ("value", "percent", "label"),
    [(0.25, True, "25%"), (1500, False, "1500"), (20_000, False, "20k"), (0.05, False, "0.05")],
)
def test_tick_label(value: float, percent: bool, label: str) -> None:
    assert tick_label(value, percent=percent) == label


def test_corners_of_the_plot() -> None:
    plot = Plot(x=Axis(label="", ticks=[0, 10]), y=Axis(label="", ticks=[0, 1]))
    assert plot.at(0, 0) == (LEFT, SMALL.height - BOTTOM)
    assert plot.at(10, 1) == (SMALL.width - RIGHT, TOP)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_a_line_a_series_each_with_its_own_dash() -> None:
    series = [Series(name=f"<{i}>", points=[(0, i), (1, i + 1)]) for i in range(3)]
    root = parsed(line_chart(series, title="<b> & co", x_label="</svg>", y_label="<i>"))
    assert [element.get("class") for element in root.iter("polyline")] == ["line s0", "line s1", "line s2"]
    assert root.findtext("title") == "<b> & co"
    assert "</svg>" in [element.text for element in root.iter("text")]


def test_one_point_is_enough_for_a_line_chart_and_is_marked() -> None:
    root = parsed(line_chart([Series(name="", points=[(0, 0.5)])], title="", x_label="", y_label=""))
    assert len(list(root.iter("polyline"))) == len(list(root.iter("circle"))) == 1


def test_many_points_are_a_line_alone() -> None:
    points = [(float(step), step / 100) for step in range(100)]
    root = parsed(line_chart([Series(name="", points=points)], title="", x_label="", y_label="", size=WIDE))
    assert list(root.iter("circle")) == []
    assert root.get("viewBox") == f"0 0 {WIDE.width} {WIDE.height}"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_steps_have_whole_ticks(one: int, other: int) -> None:
    ticks = nice_ticks(min(one, other), max(one, other), whole=True)
    assert all(tick == int(tick) >= 0 for tick in ticks)
    assert ticks[0] <= min(one, other) <= max(one, other) <= ticks[-1]
    assert 2 <= len(ticks) <= 10


@given(st.floats(0, 1, allow_subnormal=False))
def test_shares_stay_between_0_and_1(high: float) -> None:
    ticks = share_ticks(high)
    assert ticks[0] == 0
    assert high - 1e-9 <= ticks[-1] <= 1 + 1e-9


@given(st.floats(0, 1e6, allow_subnormal=False))
def test_what_is_never_negative_has_no_negative_tick(value: float) -> None:
    assert nice_ticks(value, value)[0] >= 0


@pytest.mark.parametrize(("low", "high", "kind"), [(0.1, 0.3, "clear"), (-0.3, -0.1, "clear"), (-0.1, 0.1, "unclear")])
def test_an_interval_that_holds_zero_is_told_apart(low: float, high: float, kind: str) -> None:
    root = parsed(interval(low, (low + high) / 2, high, axis=Axis(label="", ticks=[-1, 1])))
    assert [e.get("class") for e in root.iter("circle")] == [f"mark {kind}"]
