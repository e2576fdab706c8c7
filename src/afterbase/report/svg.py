"""Charts as inline SVG: a line chart, a labelled scatter with error bars, and an interval on a shared scale.

Colours are classes, so that the page's CSS decides them for light and dark; lines differ in dash and points are named
beside them, so that no chart needs colour to be read. All text is escaped: names may come from a recipe or a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, hypot, log10

from markupsafe import Markup

_STYLES = 8  # of lines, in the page's CSS

# Half of a small screen is wider than this only on a desktop: text is drawn near its nominal size on both.
WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 38
CHARACTER = 6.1  # mean advance of an 11px sans-serif letter, for keeping labels apart


def nice_ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten that enclose [low, high]; room around a flat line."""
    size = max(abs(low), abs(high))
    if high - low <= 1e-6 * size:
        low, high = low - (size / 2 or 1.0), high + (size / 2 or 1.0)
    raw = (high - low) / count
    exponent = floor(log10(raw))
    # The limits are the geometric means of neighbouring factors.
    factor = next(f for f, limit in ((1, 1.414), (2, 3.162), (5, 7.071), (10, 11)) if raw < limit * 10.0**exponent)
    step = factor * 10.0**exponent
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(i * step, max(0, -exponent)) for i in range(first, last + 1)]


def tick_label(value: float, *, percent: bool = False) -> str:
    """A short label: 40%, 1500, 20k, 0.05."""
    if percent:
        return f"{100 * value:g}%"
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A linear scale that reaches from the first tick to the last."""

    label: str
    ticks: Sequence[float]
    percent: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies between the first tick (0) and the last (1)."""
        return (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A frame with two axes, and the way from data to pixels."""

    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM),
        )

    def frame(self) -> Markup:
        """Horizontal grid lines, tick labels and the names of both axes."""
        parts = []
        for tick in self.y.ticks:
            _, y = self.at(self.x.ticks[0], tick)
            parts.append(line("grid", LEFT, y, WIDTH - RIGHT, y))
            parts.append(text(LEFT - 6, y + 3.5, tick_label(tick, percent=self.y.percent), anchor="end"))
        for tick in self.x.ticks:
            x, _ = self.at(tick, self.y.ticks[0])
            parts.append(text(x, HEIGHT - BOTTOM + 15, tick_label(tick, percent=self.x.percent), anchor="middle"))
        parts.append(text(WIDTH - RIGHT, HEIGHT - 6, self.x.label, anchor="end", kind="axis"))
        return Markup("").join(parts)


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A straight line of class `kind`."""
    template = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return template.format(kind, x1, y1, x2, y2)


def text(x: float, y: float, content: str, *, anchor: str, kind: str = "tick") -> Markup:
    """A line of text; `anchor` is start, middle or end."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, content
    )


def picture(title: str, parts: Sequence[Markup], *, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """The `svg` element, with its title for those who cannot see it."""
    return Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        width, height, title, title, Markup("").join(parts)
    )


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of a line chart."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(series: Sequence[Series], *, title: str, x_label: str, percent: bool = False) -> Markup:
    """Several lines over one x; the legend, a list under the chart, is `legend`'s."""
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    plot = Plot(
        x=Axis(label=x_label, ticks=nice_ticks(min(xs), max(xs))),
        y=Axis(label="", ticks=nice_ticks(min(ys), max(ys), count=4), percent=percent),
    )
    parts = [plot.frame()]
    for index, one in enumerate(series):
        path = " ".join("{:.1f},{:.1f}".format(*plot.at(x, y)) for x, y in one.points)
        parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(index % _STYLES, path))
    return picture(title, parts)


def legend_key(index: int) -> Markup:
    """The sample of line `index` that stands before its name."""
    return Markup('<svg class="key" viewBox="0 0 24 8" aria-hidden="true">{}</svg>').format(
        line(f"line s{index % _STYLES}", 0, 4, 24, 4)
    )


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


Box = tuple[float, float, float, float]


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    """A thin arrow that stops short of both points; nothing where they are too close for one."""
    length = hypot(end[0] - start[0], end[1] - start[1])
    if length < 22:
        return Markup("")
    ux, uy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tip, tail = (end[0] - 8 * ux, end[1] - 8 * uy), (start[0] + 8 * ux, start[1] + 8 * uy)
    wings = [(tip[0] - 6 * ux + side * 2.6 * uy, tip[1] - 6 * uy - side * 2.6 * ux) for side in (1, -1)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (tip, *wings))
    return line("arrow", *tail, *tip) + Markup('<polygon class="arrowhead" points="{}"/>').format(corners)


def _along(start: tuple[float, float], end: tuple[float, float], steps: int = 16) -> list[Box]:
    """Small boxes along an arrow, for labels to keep off."""
    ways = [step / steps for step in range(1, steps)]
    centres = [(start[0] + (end[0] - start[0]) * w, start[1] + (end[1] - start[1]) * w) for w in ways]
    return [(x - 1, y - 1, x + 1, y + 1) for x, y in centres]


@dataclass
class _Labels:
    """Greedy placement: each label takes the nearest free one of a few places; across an arrow counts as far."""

    taken: list[Box]
    crossed: list[Box]

    def _free(self, box: Box, obstacles: Sequence[Box]) -> bool:
        x1, y1, x2, y2 = box
        inside = y1 >= 0 and y2 <= HEIGHT - BOTTOM + 2
        return inside and all(x2 <= a1 or x1 >= a2 or y2 <= b1 or y1 >= b2 for a1, b1, a2, b2 in obstacles)

    def place(self, x: float, y: float, content: str, kind: str) -> Markup:
        width = CHARACTER * len(content)
        lefts = (x + 9, x - 9 - width, x - width / 2)
        places = [
            (min(max(left, LEFT), WIDTH - width), y + down)
            for down in (4, -9, 17, -21, 29, -33, 41)
            for left in (lefts if down != 4 else lefts[:2])
        ]
        boxes = [(left, base - 10, left + width, base + 2) for left, base in places]
        free = [(rank, box) for rank, box in enumerate(boxes) if self._free(box, self.taken)]
        costs = [(rank + (0 if self._free(box, self.crossed) else 5), box) for rank, box in free]
        _, box = min(costs, default=(0, boxes[0]))
        self.taken.append(box)
        # Letters differ in width: the end that is next to the point is the one that is exact.
        anchor, origin = ("start", box[0]) if box[0] >= x else ("end", box[2])
        return text(origin, box[3] - 2, content, anchor=anchor, kind=f"name {kind}")


def scatter(marks: Sequence[Mark], *, title: str, x_label: str, arrows: Sequence[tuple[int, int]]) -> Markup:
    """Shares (y, always 0 to 100 %) against a length (x, from 0), with arrows between marks given by their indices."""
    plot = Plot(
        x=Axis(label=x_label, ticks=nice_ticks(0, max(mark.x for mark in marks))),
        y=Axis(label="", ticks=[0, 0.25, 0.5, 0.75, 1], percent=True),
    )
    points = [plot.at(mark.x, mark.y) for mark in marks]
    bars = [(plot.at(mark.x, mark.high)[1], plot.at(mark.x, mark.low)[1]) for mark in marks]
    labels = _Labels(
        taken=[(x - 6, y - 6, x + 6, y + 6) for x, y in points]
        + [(x - 2, top, x + 2, bottom) for (x, _), (top, bottom) in zip(points, bars, strict=True)],
        crossed=[box for i, j in arrows for box in _along(points[i], points[j])],
    )
    parts = [plot.frame(), *(_arrow(points[i], points[j]) for i, j in arrows)]
    for mark, (x, y), (top, bottom) in zip(marks, points, bars, strict=True):
        parts.append(line(f"error {mark.kind}", x, bottom, x, top))
        shape = "mark hollow" if mark.hollow else "mark"
        parts.append(Markup('<circle class="{} {}" cx="{:.1f}" cy="{:.1f}" r="4.5"/>').format(shape, mark.kind, x, y))
    parts += [labels.place(x, y, mark.label, mark.kind) for mark, (x, y) in zip(marks, points, strict=True)]
    return picture(title, parts)


FOREST_WIDTH, FOREST_HEIGHT = 240, 20


def _forest_x(value: float, axis: Axis) -> float:
    return 6 + axis.share(value) * (FOREST_WIDTH - 12)


def interval(low: float, middle: float, high: float, *, axis: Axis) -> Markup:
    """One row of a forest plot: the interval, its middle, and the line of no difference, joined to its neighbours'."""
    x1, x, x2, zero = (_forest_x(value, axis) for value in (low, middle, high, 0.0))
    kind = "clear" if low > 0 or high < 0 else "unclear"
    y = FOREST_HEIGHT / 2
    parts = [
        line("zero", zero, -12, zero, FOREST_HEIGHT + 12),
        line(f"error {kind}", x1, y, x2, y),
        Markup('<circle class="mark {}" cx="{:.1f}" cy="{:g}" r="4"/>').format(kind, x, y),
    ]
    title = f"{100 * middle:+.1f} points, {100 * low:+.1f} to {100 * high:+.1f}"
    return picture(title, parts, width=FOREST_WIDTH, height=FOREST_HEIGHT)


def interval_axis(axis: Axis) -> Markup:
    """The scale above a forest plot, in percentage points: its ends and zero."""
    marked = sorted({axis.ticks[0], 0.0, axis.ticks[-1]})
    parts = [
        text(_forest_x(value, axis), 14, f"{100 * value:+g}".replace("-", "−") if value else "0", anchor="middle")
        for value in marked
    ]
    return picture("Scale in percentage points", parts, width=FOREST_WIDTH, height=FOREST_HEIGHT)
