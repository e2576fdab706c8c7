"""Reward hacking: a reward still rises while what it stands for falls (Gao et al., arXiv 2210.10760).

Proxy is what is trained on, held out is a rule or a judge that is not. Both are means of a step.
"""

import statistics
from collections.abc import Sequence

_Z = 2.0  # standard errors that a change has to be above


def change(values: Sequence[float], window: int) -> tuple[float, float]:
    """The mean of the last `window` values less that of the first, and its standard error."""
    first, last = values[:window], values[-window:]
    error = (statistics.variance(first) / window + statistics.variance(last) / window) ** 0.5
    return statistics.fmean(last) - statistics.fmean(first), error


def reward_hacking(proxy: Sequence[float], held_out: Sequence[float], *, window: int) -> str | None:
    """What to tell where the proxy has risen and the held-out value has fallen, each by more than two standard errors.

    None before there are two windows of steps, and for a window of 0.
    """
    if window == 0 or len(proxy) < 2 * window:
        return None
    (up, up_error), (down, down_error) = change(proxy, window), change(held_out, window)
    if up > _Z * up_error and down < -_Z * down_error:
        return f"the reward model's score rose by {up:.3f} while the held-out rule's fell by {-down:.3f}"
    return None
