"""Accuracy against answer length as an SVG: points with error bars, arrows, and names that do not overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from markupsafe import Markup

from afterbase.report.drawing.svg import (
    BOTTOM,
    LEFT,
    SMALL,
    TOP,
    Axis,
    Plot,
    Size,
    line,
    nice_ticks,
    picture,
    share_ticks,
    text,
)

CHARACTER = 6.4  # mean advance of an 11px sans-serif letter, for keeping names apart
_ABOVE, _BELOW = 10, 3  # what a name covers above and below its base line
_GAP = 6  # between names in one line
_BESIDE = 9  # from a point's centre to the name beside it
_FAR = 30  # from here on a thin line leads from the name to its point
_ACROSS = 40  # a name across an arrow counts as this much further away


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point of a scatter with its vertical error bar; `kind` is base, middle or final; hollow ones used a prompt."""

    x: float
    y: float
    low: float
    high: float
    label: str
    kind: str
    hollow: bool = False


@dataclass(frozen=True)
class Arrow:
    """From one mark to another, by their indices; `dotted` where one wrote what the other learnt from."""

    start: int
    end: int
    dotted: bool = False


Place = tuple[float, float]
Box = tuple[float, float, float, float]


def scatter(
    marks: Sequence[Mark], arrows: Sequence[Arrow], *, title: str, x_label: str, y_label: str, size: Size = SMALL
) -> Markup:
    """Shares (y, from 0 %) against a length (x, from 0)."""
    plot = Plot(
        x=Axis(label=x_label, ticks=nice_ticks(0, max(mark.x for mark in marks))),
        y=Axis(label=y_label, ticks=share_ticks(max(mark.high for mark in marks)), percent=True),
        size=size,
    )
    points = [plot.at(mark.x, mark.y) for mark in marks]
    bars = [(plot.at(mark.x, mark.high)[1], plot.at(mark.x, mark.low)[1]) for mark in marks]
    labels = _Labels(
        size=size,
        taken=[(x - 7, y - 7, x + 7, y + 7) for x, y in points],
        crossed=[(x - 2, top, x + 2, bottom) for (x, _), (top, bottom) in zip(points, bars, strict=True)]
        + [box for arrow in arrows for box in _along(points[arrow.start], points[arrow.end])],
    )
    names = [labels.place(at, mark.label, mark.kind) for mark, at in zip(marks, points, strict=True)]
    parts = [plot.frame(), *(_arrow(points[arrow.start], points[arrow.end], arrow.dotted) for arrow in arrows)]
    for mark, (x, y), (top, bottom) in zip(marks, points, bars, strict=True):
        parts.append(line(f"error {mark.kind}", x, bottom, x, top))
        shape = "mark hollow" if mark.hollow else "mark"
        parts.append(Markup('<circle class="{} {}" cx="{:.1f}" cy="{:.1f}" r="4.5"/>').format(shape, mark.kind, x, y))
    return picture(title, [*parts, *names], size=size)


def _arrow(start: Place, end: Place, dotted: bool) -> Markup:
    """A thin arrow that stops short of both points; nothing where they are too close for one."""
    length = hypot(end[0] - start[0], end[1] - start[1])
    if length < 22:
        return Markup("")
    ux, uy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tip, tail = (end[0] - 8 * ux, end[1] - 8 * uy), (start[0] + 8 * ux, start[1] + 8 * uy)
    wings = [(tip[0] - 6 * ux + side * 2.6 * uy, tip[1] - 6 * uy - side * 2.6 * ux) for side in (1, -1)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, *wings))
    shaft = line("arrow dotted" if dotted else "arrow", *tail, *tip)
    return shaft + Markup('<polygon class="arrowhead" points="{}"/>').format(corners)


def _along(start: Place, end: Place, steps: int = 24) -> list[Box]:
    """Small boxes along an arrow, for names to keep off."""
    ways = [step / steps for step in range(1, steps)]
    centres = [(start[0] + (end[0] - start[0]) * w, start[1] + (end[1] - start[1]) * w) for w in ways]
    return [(x - 1, y - 1, x + 1, y + 1) for x, y in centres]


def _apart(box: Box, others: Sequence[Box]) -> bool:
    x1, y1, x2, y2 = box
    return all(x2 <= a1 or x1 >= a2 or y2 <= b1 or y1 >= b2 for a1, b1, a2, b2 in others)


@dataclass
class _Labels:
    """Greedy placement: each name takes the nearest place that no point and no earlier name takes.

    Lines (error bars, arrows) are crossed only where the way around them is long.
    """

    size: Size
    taken: list[Box]
    crossed: list[Box]

    def place(self, point: Place, content: str, kind: str) -> Markup:
        x, y = point
        boxes = [(self._distance(point, box), box) for box in self._boxes(x, y, CHARACTER * len(content))]
        free = [(far, box) for far, box in boxes if _apart(box, self.taken)] or boxes
        _, box = min((far + (0 if _apart(box, self.crossed) else _ACROSS), box) for far, box in free)
        self.taken.append((box[0] - _GAP, box[1], box[2] + _GAP, box[3]))
        middle = (box[1] + box[3]) / 2
        near = min(max(x, box[0]), box[2])
        lead = line("leader", x, y, near, middle) if self._distance(point, box) > _FAR else Markup("")
        # Letters differ in width: the end that is next to the point is the one that is exact.
        anchor, origin = ("start", box[0]) if box[0] >= x else ("end", box[2])
        return lead + text(origin, box[3] - _BELOW, content, anchor=anchor, kind=f"name {kind}")

    def _boxes(self, x: float, y: float, width: float) -> list[Box]:
        """Every place inside the frame: right and left of the point and over it, in each line up and down."""
        lowest, highest = self.size.height - BOTTOM - _BELOW, TOP + _ABOVE
        bases = [y + 4 + down for step in range(self.size.height // 6) for down in (6 * step, -6 * step)]
        lefts = (x + _BESIDE, x - _BESIDE - width, x - width / 2, x + 4 * _BESIDE, x - 4 * _BESIDE - width)
        inside = [min(max(left, LEFT), self.size.width - width) for left in lefts]
        return [
            (left, base - _ABOVE, left + width, base + _BELOW)
            for base in bases
            if highest <= base <= lowest
            for left in inside
        ]

    def _distance(self, point: Place, box: Box) -> float:
        """From the point to the nearest place of the box."""
        dx = max(box[0] - point[0], point[0] - box[2], 0.0)
        dy = max(box[1] - point[1], point[1] - box[3], 0.0)
        return hypot(dx, dy)
