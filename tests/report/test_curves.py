"""Numbers of a stage's metrics as curves, under names that need no explanation."""

import math
from typing import Any

import pytest

from afterbase.core.store import Artifact, Store
from afterbase.report.curves import TRAINED, curves_of, shared_curves


def trained(store: Store, stage: str, rows: list[dict[str, Any]], **what: Any) -> Artifact:
    def make(work):
        for step, row in enumerate(rows, 1):
            work.log(step, len(rows), **row)

    asked = {"minibatches": 1, "epochs": 1, **what}
    return store.produce(f"{stage} {sorted(what.values(), key=str)}", stage, 1, what=asked, inputs={}, make=make)


def lines(artifact: Artifact) -> dict[str, dict[str, list[list[float]]]]:
    return {c["title"].split(": ", 1)[1]: {s["name"]: s["points"] for s in c["series"]} for c in curves_of(artifact)}


def test_what_is_not_trained_on_is_a_line_of_its_own(tmp_path):
    rows = [{"loss": 2.0}, {"loss": 1.0, "held_out_loss": 1.5}]
    assert lines(trained(Store(tmp_path), "sft", rows)) == {
        "loss": {"rows trained on": [[1, 2.0], [2, 1.0]], "rows not trained on": [[2, 1.5]]}
    }


def test_rollouts_are_shown_once_and_their_measurement_where_it_was_made(tmp_path):
    rows = [{"solved": 0.25}, {"solved": 0.25, "held_out_accuracy": 0.5}, {"solved": 1.0}, {"solved": 1.0}]
    assert lines(trained(Store(tmp_path), "grpo", rows, minibatches=2)) == {
        "answers judged right": {
            "problems trained on": [[1, 0.25], [3, 1.0]],
            "problems not trained on": [[2, 0.5]],
        }
    }


def test_two_judges_of_open_answers_share_a_chart(tmp_path):
    row = {"proxy": 0.5, "held_out": 0.25, "solved": math.nan}
    [chart] = lines(trained(Store(tmp_path), "grpo", [row])).values()
    assert chart == {"reward model, trained on": [[1, 0.5]], "rubric, watched only": [[1, 0.25]]}


@pytest.mark.parametrize("stage", TRAINED)
def test_no_name_is_one_of_the_program(tmp_path, stage):
    keys = ("loss", "reward", "accuracy", "solved", "length", "proxy", "held_out", "kl")
    row = dict.fromkeys([*keys, *(f"held_out_{key}" for key in keys)], 0.5)
    curves = curves_of(trained(Store(tmp_path), stage, [row]))
    words = " ".join([*(c["title"] + c["unit"] for c in curves), *(s["name"] for c in curves for s in c["series"])])
    assert curves
    assert "_" not in words.replace("reward_model []", "")
    assert "proxy" not in words


def test_variants_share_a_chart_with_the_mean_of_their_seeds(tmp_path):
    store = Store(tmp_path)

    def variant(name: str, *rewards: float) -> list[Artifact]:
        return [trained(store, "grpo", [{"reward": r}], seed=i, variant=name) for i, r in enumerate(rewards)]

    assert shared_curves({"a": variant("a", 0.0, 1.0)}) == []
    [chart] = shared_curves({"a": variant("a", 0.0, 1.0), "b": variant("b", 0.25, 0.25)})
    assert chart["series"] == [{"name": "a", "points": [[1, 0.5]]}, {"name": "b", "points": [[1, 0.25]]}]
    assert chart["title"] == "mean reward, problems trained on"
