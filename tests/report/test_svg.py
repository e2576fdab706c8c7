"""Scales that enclose their data, drawings that are well-formed, names that cannot break out."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.report.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Mark,
    Plot,
    Series,
    interval,
    line_chart,
    nice_ticks,
    scatter,
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
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
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
    assert plot.at(0, 0) == (LEFT, HEIGHT - BOTTOM)
    assert plot.at(10, 1) == (WIDTH - RIGHT, TOP)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def test_a_line_a_series_each_with_its_own_dash() -> None:
    series = [Series(name=f"<{i}>", points=[(0, i), (1, i + 1)]) for i in range(3)]
    root = parsed(line_chart(series, title="<b> & co", x_label="</svg>"))
    assert [element.get("class") for element in root.iter("polyline")] == ["line s0", "line s1", "line s2"]
    assert root.findtext("title") == "<b> & co"
    assert "</svg>" in [element.text for element in root.iter("text")]


def test_one_point_is_enough_for_a_line_chart() -> None:
    assert (
        len(list(parsed(line_chart([Series(name="", points=[(0, 0.5)])], title="", x_label="")).iter("polyline"))) == 1
    )


def mark(x: float, y: float, label: str) -> Mark:
    return Mark(x=x, y=y, low=max(0, y - 0.05), high=min(1, y + 0.05), label=label, kind="middle")


@given(st.lists(st.tuples(st.floats(0, 500, allow_subnormal=False), st.floats(0, 1)), min_size=1, max_size=6))
def test_every_mark_is_drawn_and_named_inside_the_picture(places: list[tuple[float, float]]) -> None:
    marks = [mark(x, y, f"checkpoint {index}") for index, (x, y) in enumerate(places)]
    root = parsed(scatter(marks, title="t", x_label="x", arrows=[(i, i + 1) for i in range(len(marks) - 1)]))
    names = [e for e in root.iter("text") if (e.get("class") or "").startswith("name")]
    assert [e.text for e in names] == [m.label for m in marks]
    circles = [(float(e.get("cx", "nan")), float(e.get("cy", "nan"))) for e in root.iter("circle")]
    assert len(circles) == len(marks)
    origins = [(float(e.get("x", "nan")), float(e.get("y", "nan"))) for e in names]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in circles + origins)


def test_labels_of_neighbours_do_not_overlap() -> None:
    root = parsed(scatter([mark(50, 0.50, "one"), mark(51, 0.51, "two")], title="", x_label="", arrows=[]))
    (x1, y1), (x2, y2) = [
        (float(e.get("x", "nan")), float(e.get("y", "nan")))
        for e in root.iter("text")
        if (e.get("class") or "").startswith("name")
    ]
    assert math.hypot(x1 - x2, y1 - y2) >= 12


@pytest.mark.parametrize(("low", "high", "kind"), [(0.1, 0.3, "clear"), (-0.3, -0.1, "clear"), (-0.1, 0.1, "unclear")])
def test_an_interval_that_holds_zero_is_told_apart(low: float, high: float, kind: str) -> None:
    root = parsed(interval(low, (low + high) / 2, high, axis=Axis(label="", ticks=[-1, 1])))
    assert [e.get("class") for e in root.iter("circle")] == [f"mark {kind}"]
