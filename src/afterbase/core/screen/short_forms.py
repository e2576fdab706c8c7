"""Numbers, durations and names in few characters."""

from collections.abc import Sequence

_HEIGHTS = "▁▂▃▄▅▆▇█"


def duration(seconds: float) -> str:
    """0:05, 12:34 or 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """A duration that is a guess: no finer than it is known."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def named(key: str, value: float | str) -> str:
    """A number behind its name; `tokens_per_second` as tokens/s."""
    unit = key.removesuffix("_per_second")
    if unit != key:
        return f"{number(value)} {unit.replace('_', ' ')}/s"
    return f"{key.replace('held_out', 'held-out').replace('_', ' ')} {number(value)}"


def number(value: float | str) -> str:
    """Three digits, or all of a whole number; a text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3g}"


def thinned(values: Sequence[float], most: int) -> list[float]:
    """At most `most` values, each the mean of neighbours."""
    size = max(1, -(-len(values) // most))
    groups = [values[i : i + size] for i in range(0, len(values), size)]
    return [sum(group) / len(group) for group in groups]


def sparkline(values: Sequence[float], width: int) -> str:
    """A curve of at most `width` characters; nothing of fewer than three values.

    >>> sparkline([1, 2, 3, 8], 8)
    '▁▂▃█'
    """
    points = thinned(values, width)
    if len(points) < 3:
        return ""
    low, high = min(points), max(points)
    if low == high:
        return _HEIGHTS[0] * len(points)
    return "".join(_HEIGHTS[round((point - low) / (high - low) * (len(_HEIGHTS) - 1))] for point in points)
