"""Two results on the same questions: paired differences, corrected for how many are compared, and what could be seen.

A question counts by the mean of its answers, whatever their number; questions that only one of the two has, or that
could not be judged, are left out and counted.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.results import Evaluated, read
from afterbase.eval.statistics import holm, items_to_see, paired_bootstrap, seen_with

_POINT = 0.01
_SEED = 0  # of the bootstrap


def compare(a: Path, b: Path) -> dict[str, dict[str, Any]]:
    """By benchmark: the means of both and their difference b - a in percent with a 95 % interval, p, and p after Holm.

    `seen` is the difference that as many questions show with a power of 80 %, `items_for_one_point` how many it takes
    to show one point; both rest on how much the two differ from question to question here, and are None where they
    never do. `settings_differ` names what was not the same. Raises UserError where the two share no benchmark, or where
    questions of one id differ.
    """
    left, right = read(a), read(b)
    shared = [name for name in left if name in right]
    if not shared:
        raise UserError(
            "two results are compared on the benchmarks that both have",
            got=f"{', '.join(left)} in {a}; {', '.join(right)} in {b}",
            remedy="evaluate both on the same --tasks",
        )
    compared = {name: _compared(name, left[name], right[name]) for name in shared}
    corrected = holm({name: row["p"] for name, row in compared.items()})
    return {name: {**row, "p_holm": round(corrected[name], 6)} for name, row in compared.items()}


def _compared(name: str, a: Evaluated, b: Evaluated) -> dict[str, Any]:
    values_a, values_b = _values(a), _values(b)
    both = [item for item in values_a if item in values_b]
    digests_a, digests_b = ({row.id: row.digest for row in result.rows} for result in (a, b))
    differing = [item for item in both if digests_a[item] != digests_b[item]]
    if differing or not both:
        raise UserError(
            f"both results of {name} are on the same questions",
            got=f"question `{differing[0]}` put in two ways" if differing else "no question in common",
            remedy="evaluate both with the same version and the same --data",
        )
    paired_a, paired_b = ({item: values[item] for item in both} for values in (values_a, values_b))
    difference = paired_bootstrap(paired_a, paired_b, seed=_SEED)
    deviation = float(np.std([paired_b[item] - paired_a[item] for item in both], ddof=1)) if len(both) > 1 else 0.0
    differ = [key for key in a.settings if key != "limit" and a.settings[key] != b.settings.get(key)]
    return {
        "metric": a.result.metric,
        "a": _percent(float(np.mean(list(paired_a.values())))),
        "b": _percent(float(np.mean(list(paired_b.values())))),
        "difference": _percent(difference.difference),
        "low": _percent(difference.low),
        "high": _percent(difference.high),
        "p": round(difference.p, 6),
        "n": len(both),
        "left_out": len(values_a) + len(values_b) - 2 * len(both),
        "seen": _percent(seen_with(len(both), deviation)) if deviation else None,
        "items_for_one_point": items_to_see(_POINT, deviation) if deviation else None,
        "settings_differ": differ,
    }


def _values(result: Evaluated) -> dict[str, float]:
    """The mean mark of each question that could be judged."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in result.rows:
        if not row.failed:
            values[row.id].append(row.value)
    return {item: float(np.mean(marks)) for item, marks in values.items()}


def _percent(share: float) -> float:
    return round(100 * share, 4)
