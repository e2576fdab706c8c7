"""Every point is drawn inside the frame and named, and no name covers another one or a point."""

from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.report.drawing.scatter import CHARACTER, Arrow, Mark, scatter
from afterbase.report.drawing.svg import SMALL, WIDE, Size

Box = tuple[float, float, float, float]


def drawn(marks: list[Mark], arrows: list[Arrow], size: Size = SMALL) -> ElementTree.Element:
    svg = scatter(marks, arrows, title="t", x_label="x", y_label="y", size=size)
    return ElementTree.fromstring(svg)


def mark(x: float, y: float, label: str) -> Mark:
    return Mark(x=x, y=y, low=max(0, y - 0.05), high=min(1, y + 0.05), label=label, kind="middle")


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, "nan"))


def names(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [e for e in root.iter("text") if (e.get("class") or "").startswith("name")]


def box(name: ElementTree.Element) -> Box:
    """What a name covers, if its letters are as wide as they are thought to be."""
    x, y, width = number(name, "x"), number(name, "y"), CHARACTER * len(name.text or "")
    left = x if name.get("text-anchor") == "start" else x - width
    return left, y - 9, left + width, y + 2


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


PLACES = st.lists(st.tuples(st.floats(0, 500, allow_subnormal=False), st.floats(0, 1)), min_size=1, max_size=8)


@pytest.mark.parametrize("size", [SMALL, WIDE])
@given(places=PLACES)
def test_every_mark_is_named_inside_the_picture_and_no_name_covers_another(
    size: Size, places: list[tuple[float, float]]
) -> None:
    marks = [mark(x, y, f"checkpoint {index}") for index, (x, y) in enumerate(places)]
    root = drawn(marks, [Arrow(i, i + 1, dotted=i == 0) for i in range(len(marks) - 1)], size)
    circles = [(number(e, "cx"), number(e, "cy")) for e in root.iter("circle")]
    assert len(circles) == len(marks)
    assert [e.text for e in names(root)] == [m.label for m in marks]
    boxes = [box(name) for name in names(root)]
    assert all(x1 >= 0 and x2 <= size.width + 1 and y1 >= 0 and y2 <= size.height for x1, y1, x2, y2 in boxes)
    assert all(0 <= x <= size.width and 0 <= y <= size.height for x, y in circles)
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    points = [(x - 4, y - 4, x + 4, y + 4) for x, y in circles]
    assert not [name for name in boxes for point in points if overlap(name, point)]


def test_names_far_from_their_points_have_a_line_to_them() -> None:
    crowd = [mark(50, 0.5, f"a checkpoint with a long name {index}") for index in range(8)]
    kinds = [e.get("class") for e in drawn(crowd, []).iter("line")]
    assert "leader" in kinds
    assert "leader" not in [e.get("class") for e in drawn(crowd[:1], []).iter("line")]


def test_points_that_nearly_touch_get_no_arrow() -> None:
    marks = [mark(50, 0.5, "one"), mark(51, 0.5, "two"), mark(400, 0.9, "three")]
    root = drawn(marks, [Arrow(0, 1), Arrow(0, 2), Arrow(1, 2, dotted=True)])
    kinds = [e.get("class") for e in root.iter("line") if "arrow" in (e.get("class") or "")]
    assert kinds == ["arrow", "arrow dotted"]


def test_shares_begin_at_0_and_end_near_the_highest() -> None:
    texts = [e.text for e in drawn([mark(50, 0.33, "one")], []).iter("text")]
    assert texts[:5] == ["0%", "10%", "20%", "30%", "40%"]
