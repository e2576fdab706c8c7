"""What a training measured of itself: numbers for the page, and the same in sentences for a card and for the terminal.

Numbers of training are means over the first and the last tenth of the steps, as a step of one row says little. What is
not trained on is measured after a step, and the last number is that of the weights that the training hands over.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from afterbase.core.intervals import exact_interval
from afterbase.core.store import Artifact
from afterbase.report.curves import SHARE, has_number
from afterbase.report.summary import Measure

_LOSS = {"sft": "nats per token", "reward_model": "nats per pair", "dpo": "nats per pair", "kto": "per answer"}
_REWARD = "mean reward of an answer"
_IN_TRAINING = {
    "loss": ("loss in training", ""),
    "reward": ("reward in training", _REWARD),
    "solved": ("right answers in training", f"{SHARE} of answers"),
    "length": ("answer length in training", "tokens"),
}
_NOT_TRAINED_ON = {
    "held_out_loss": ("loss", ""),
    "held_out_accuracy": ("accuracy", f"{SHARE} of {{}}"),
    "held_out_reward": ("reward", _REWARD),
}
_COUNTED = ("pairs", "answers", "problems")


def measures(made: Artifact) -> list[Measure]:
    """The numbers of a stage, those of its training first."""
    steps = made.metrics()
    # The loss of a policy gradient says nothing, and where verdicts decide, they say more than the reward.
    learnt = [key for key in _IN_TRAINING if (key, made.manifest["stage"]) != ("loss", "grpo")]
    decided = any(has_number(row, "held_out_accuracy") for row in steps)
    aside = [key for key in _NOT_TRAINED_ON if (key, decided) != ("held_out_reward", True)]
    found = [*(_ends(made, steps, key) for key in learnt), *(_measured(made, steps, key) for key in aside)]
    return [measure for measure in found if measure is not None]


def measured(made: Artifact) -> list[str]:
    """The same in sentences, and of how many steps: for a model's card, and for the end of a run."""
    steps = made.metrics()
    return [*sentences(measures(made)), *([f"steps of the last stage: {len(steps)}"] if steps else [])]


def sentences(found: Sequence[Measure]) -> list[str]:
    """A line for each number.

    >>> sentences([{"name": "loss in training", "unit": "", "before": 2.0, "after": 0.5, "low": None, "high": None,
    ...             "n": None, "when": "means of 3 steps"}])
    ['loss in training: 2 at first, 0.5 at last (means of 3 steps)']
    """
    return [_sentence(measure) for measure in found]


def _sentence(measure: Measure) -> str:
    low, high = measure["low"], measure["high"]
    after = f"{measure['after']:.4g}"
    after += "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    if measure["before"] is None:
        return f"{measure['name']}: {after}"
    when = f" ({measure['when']})" if measure["when"] else ""
    return f"{measure['name']}: {measure['before']:.4g} at first, {after} at last{when}"


def _ends(made: Artifact, steps: Sequence[Mapping[str, Any]], key: str) -> Measure | None:
    values = [row[key] for row in steps if has_number(row, key)]
    if not values:
        return None
    name, unit = _IN_TRAINING[key]
    some = max(1, len(values) // 10)
    return Measure(
        name=name,
        unit=_unit(made, key, unit),
        before=statistics.fmean(values[:some]),
        after=statistics.fmean(values[-some:]),
        low=None,
        high=None,
        n=None,
        when=f"means of {some} steps" if some > 1 else "",
    )


def _measured(made: Artifact, steps: Sequence[Mapping[str, Any]], key: str) -> Measure | None:
    """A number of what is not trained on: that of the stage's result if it gives one, else of the step it kept."""
    path = made.payload / "accuracy.json"
    result = json.loads(path.read_text()) if path.is_file() else {}
    rows = [row for row in steps if has_number(row, key)]
    last = result if result.get(key) is not None else _kept(made, rows)
    if last is None:
        return None
    of, n = _counted(made, result) or ("rows", last.get(f"{key}/rows"))
    if n == 0:
        return None
    name, unit = _NOT_TRAINED_ON[key]
    low, high = last.get("low"), last.get("high")
    if key == "held_out_accuracy" and low is None and n:
        low, high = exact_interval(round(last[key] * n), n)
    first = rows[0] if len(rows) > 1 and rows[0] is not last else None
    return Measure(
        name=f"{name} on {of if n is None else f'{n:,} {of}'} not trained on",
        unit=_unit(made, key, unit.format(of)),
        before=None if first is None else first[key],
        after=last[key],
        low=low if key == "held_out_accuracy" else None,
        high=high if key == "held_out_accuracy" else None,
        n=n,
        when="" if first is None else f"after step {first['step']} and of the final model",
    )


def _kept(made: Artifact, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The measured step whose weights the stage handed over."""
    if not rows:
        return None
    best = rows[-1].get("best_step") if made.manifest["what"].get("keep_best") else None
    return next((row for row in rows if row["step"] == best), rows[-1])


def _counted(made: Artifact, result: Mapping[str, Any]) -> tuple[str, int] | None:
    """What is kept aside, and how many of it, where a file of the stage says so."""
    for of in _COUNTED:
        if f"held_out_{of}" in result:
            return of, result[f"held_out_{of}"]
    path = made.payload / "data.json"
    held_out = json.loads(path.read_text()).get("held_out") if path.is_file() else None
    return ("problems", held_out["problems"]) if held_out else None


def _unit(made: Artifact, key: str, unit: str) -> str:
    loss = _LOSS.get(made.manifest["stage"])
    return f"{loss}, lower is better" if loss and key in ("loss", "held_out_loss") else unit
