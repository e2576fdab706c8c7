"""Charts as inline SVG: scales, frames, a line chart, and an interval on a shared scale; `scatter.py` has the scatter.

Colours are classes, so that the page's CSS decides them for light and dark; lines differ in dash and points are named
beside them, so that no chart needs colour to be read. All text is escaped: names may come from a recipe or a model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

_STYLES = 8  # of lines, in the page's CSS

_DOTTED = 12  # points of a line that are few enough to be marked

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 26, 38


@dataclass(frozen=True)
class Size:
    """Width and height of a drawing in its own units."""

    width: int
    height: int


# Drawn as wide as a phone, or half as wide as a page; and as wide as a page. Text is near its nominal size on both.
SMALL, WIDE = Size(360, 240), Size(860, 330)


def for_both(draw: Callable[[Size], Markup]) -> Markup:
    """A drawing as wide as the page, for wide and for narrow screens: the style sheet shows one of the two."""
    return Markup('<div class="wide">{}</div><div class="narrow">{}</div>').format(draw(WIDE), draw(SMALL))


def nice_ticks(low: float, high: float, *, count: int = 5, whole: bool = False) -> list[float]:
    """About `count` multiples of 1, 2 or 5 times a power of ten that enclose [low, high]; room around a flat line.

    What is nowhere negative gets no negative tick. `whole`: whole numbers alone, as steps are.
    """
    size = max(abs(low), abs(high))
    if high - low <= 1e-6 * size:
        room = size / 2 or 1.0
        low, high = max(low - room, 0.0) if low >= 0 else low - room, high + room
    raw = max((high - low) / count, 1.0) if whole else (high - low) / count
    exponent = floor(log10(raw))
    # The limits are the geometric means of neighbouring factors.
    factor = next(f for f, limit in ((1, 1.414), (2, 3.162), (5, 7.071), (10, 11)) if raw < limit * 10.0**exponent)
    step = factor * 10.0**exponent
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(i * step, max(0, -exponent)) for i in range(first, last + 1)]


def share_ticks(high: float) -> list[float]:
    """Ticks from 0 that enclose shares up to `high`, and never pass 1."""
    return nice_ticks(0.0, high) if high > 0 else [0.0, 0.25, 0.5, 0.75, 1.0]


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
    size: Size = SMALL

    def at(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.size.width - LEFT - RIGHT, self.size.height - TOP - BOTTOM
        return LEFT + self.x.share(x) * width, TOP + (1 - self.y.share(y)) * height

    def frame(self) -> Markup:
        """Horizontal grid lines, tick labels and the names of both axes."""
        parts = []
        right, bottom = self.size.width - RIGHT, self.size.height - BOTTOM
        for tick in self.y.ticks:
            _, y = self.at(self.x.ticks[0], tick)
            parts.append(line("grid", LEFT, y, right, y))
            parts.append(text(LEFT - 6, y + 3.5, tick_label(tick, percent=self.y.percent), anchor="end"))
        for tick in self.x.ticks:
            x, _ = self.at(tick, self.y.ticks[0])
            parts.append(text(x, bottom + 15, tick_label(tick, percent=self.x.percent), anchor="middle"))
        parts.append(text(0, 10, self.y.label, anchor="start", kind="axis"))
        parts.append(text(right, self.size.height - 6, self.x.label, anchor="end", kind="axis"))
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


def picture(title: str, parts: Sequence[Markup], *, size: Size = SMALL) -> Markup:
    """The `svg` element, with its title for those who cannot see it."""
    return Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}"><title>{}</title>{}</svg>').format(
        size.width, size.height, title, title, Markup("").join(parts)
    )


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line of a line chart."""

    name: str
    points: Sequence[tuple[float, float]]


def line_chart(
    series: Sequence[Series], *, title: str, x_label: str, y_label: str, share: bool = False, size: Size = SMALL
) -> Markup:
    """Several lines over whole numbers, such as steps; points that are few are marked. The legend is the page's.

    `share`: values are fractions of 1, on a scale from 0 %.
    """
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    ticks = share_ticks(max(ys)) if share else nice_ticks(min(ys), max(ys), count=4)
    plot = Plot(
        x=Axis(label=x_label, ticks=nice_ticks(min(xs), max(xs), whole=True)),
        y=Axis(label=y_label, ticks=ticks, percent=share),
        size=size,
    )
    parts = [plot.frame()]
    for index, one in enumerate(series):
        style = index % _STYLES
        places = [plot.at(x, y) for x, y in one.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(style, path))
        if len(places) <= _DOTTED:
            dot = Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>')
            parts += [dot.format(style, x, y) for x, y in places]
    return picture(title, parts, size=size)


def legend_key(index: int) -> Markup:
    """The sample of line `index` that stands before its name."""
    return Markup('<svg class="key" viewBox="0 0 24 8" aria-hidden="true">{}</svg>').format(
        line(f"line s{index % _STYLES}", 0, 4, 24, 4)
    )


FOREST, WIDE_FOREST = Size(240, 20), Size(460, 20)
"""Of a bar in a table of many columns, and in one of few."""


def _forest_x(value: float, axis: Axis, size: Size) -> float:
    return 14 + axis.share(value) * (size.width - 28)


def interval(low: float, middle: float, high: float, *, axis: Axis, size: Size = FOREST) -> Markup:
    """One row of a forest plot: the interval, its middle, and the line of no difference, joined to its neighbours'."""
    x1, x, x2, zero = (_forest_x(value, axis, size) for value in (low, middle, high, 0.0))
    kind = "clear" if low > 0 or high < 0 else "unclear"
    y = size.height / 2
    parts = [
        line("zero", zero, -12, zero, size.height + 12),
        line(f"error {kind}", x1, y, x2, y),
        Markup('<circle class="mark {}" cx="{:.1f}" cy="{:g}" r="4"/>').format(kind, x, y),
    ]
    title = f"{100 * middle:+.1f} points, {100 * low:+.1f} to {100 * high:+.1f}"
    return picture(title, parts, size=size)


def interval_axis(axis: Axis, size: Size = FOREST) -> Markup:
    """The scale above a forest plot, in percentage points: its ends and zero."""
    marked = sorted({axis.ticks[0], 0.0, axis.ticks[-1]})
    parts = [
        text(_forest_x(value, axis, size), 14, f"{100 * value:+g}".replace("-", "−") if value else "0", anchor="middle")
        for value in marked
    ]
    return picture("Scale in percentage points", parts, size=size)
