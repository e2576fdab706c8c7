"""Which numbers of a stage's metrics are learning curves, and what they are called for somebody who never saw them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.store import Artifact
from afterbase.report.summary import Curve, CurveSeries

SHARE = "share"
"""How the unit of a share of 1 begins; the page shows such numbers in percent."""


@dataclass(frozen=True)
class _Drawn:
    """A chart: its title, its unit, and the numbers in it, each with the name of its line."""

    title: str
    unit: str
    keys: Mapping[str, str]


_TRAINING, _KEPT_ASIDE = "trained on", "not trained on"


def _both(key: str, title: str, unit: str, what: str) -> _Drawn:
    """A number of what is trained on, and the same number of what is kept aside where the stage measured it."""
    return _Drawn(title, unit, {key: f"{what} {_TRAINING}", f"held_out_{key}": f"{what} {_KEPT_ASIDE}"})


_PAIRS = (
    _both("loss", "loss", "nats per pair", "pairs"),
    _both("accuracy", "pairs ranked right", f"{SHARE} of pairs", "pairs"),
)
_CURVES = {
    "sft": (_both("loss", "loss", "nats per token", "rows"),),
    "grpo": (
        _both("reward", "mean reward", "reward per answer", "problems"),
        _Drawn(
            "answers judged right",
            f"{SHARE} of answers",
            {"solved": f"problems {_TRAINING}", "held_out_accuracy": f"problems {_KEPT_ASIDE}"},
        ),
        _Drawn("answer length", "tokens per answer", {"length": "problems trained on"}),
        _Drawn(
            "scores of answers that no rule decides",
            "mean score",
            {"proxy": "reward model, trained on", "held_out": "rubric, watched only"},
        ),
    ),
    "reward_model": _PAIRS,
    "dpo": _PAIRS,
    "kto": (
        _both("loss", "loss", "loss per answer", "answers"),
        _Drawn("distance from the model before", "KL divergence, nats", {"kl": "answers trained on"}),
        _Drawn("answers told apart rightly", f"{SHARE} of answers", {"held_out_accuracy": f"answers {_KEPT_ASIDE}"}),
    ),
}
TRAINED = tuple(_CURVES)
"""Kinds of stages that make a model and have curves."""


def curves_of(artifact: Artifact) -> list[Curve]:
    """A chart for each number that the stage measured."""
    drawn = ((chart, _lines(artifact, chart)) for chart in _CURVES[artifact.manifest["stage"]])
    return [
        Curve(title=f"{artifact.name}: {chart.title}", x="step", unit=chart.unit, series=lines)
        for chart, lines in drawn
        if lines
    ]


def shared_curves(compared: Mapping[str, Sequence[Artifact]]) -> list[Curve]:
    """One chart a number with a line a name: the mean over seeds at each step where all have the number."""
    if len(compared) < 2:
        return []
    stage = next(iter(compared.values()))[0].manifest["stage"]
    curves = []
    for chart in _CURVES[stage]:
        for key, line in chart.keys.items():
            means = {name: _mean_points([_points(a, key) for a in seeds]) for name, seeds in compared.items()}
            series = [CurveSeries(name=name, points=points) for name, points in means.items()]
            if any(points for points in means.values()):
                title = chart.title if len(chart.keys) == 1 else f"{chart.title}, {line}"
                curves.append(Curve(title=title, x="step", unit=chart.unit, series=series))
    return curves


def _lines(artifact: Artifact, chart: _Drawn) -> list[CurveSeries]:
    lines = {name: _points(artifact, key) for key, name in chart.keys.items()}
    return [CurveSeries(name=name, points=points) for name, points in lines.items() if points]


def _points(artifact: Artifact, key: str) -> list[list[float]]:
    """[step, number] where a step has the number.

    Of a rollout it would be said again at each of its updates, and is shown once; what is kept aside is measured after
    the last of them.
    """
    asked = artifact.manifest["what"]
    of_rollout = artifact.manifest["stage"] == "grpo" and not key.startswith("held_out_")
    updates = asked["minibatches"] * asked["epochs"] if of_rollout else 1
    return [[row["step"], row[key]] for row in artifact.metrics()[::updates] if has_number(row, key)]


def has_number(row: Mapping[str, Any], key: str) -> bool:
    """Whether a step measured the number: not every step does, and some are nan."""
    return isinstance(row.get(key), int | float) and row[key] == row[key]


def _mean_points(seeds: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """The mean of several runs at the steps that all of them have."""
    by_step = [{point[0]: point[1] for point in points} for points in seeds]
    steps = [step for step in by_step[0] if all(step in points for points in by_step)]
    return [[step, statistics.fmean(points[step] for points in by_step)] for step in steps]
