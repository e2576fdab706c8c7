"""What a training measured: means of its ends, and the numbers of the model that it hands over."""

import json
from typing import Any

import pytest

from afterbase.core.intervals import exact_interval
from afterbase.core.store import Artifact, Store
from afterbase.report.measures import measured, measures, sentences


def trained(store: Store, stage: str, rows: list[dict[str, Any]], files: dict[str, Any], **what: Any) -> Artifact:
    def make(work):
        for step, row in enumerate(rows, 1):
            work.log(step, len(rows), **row)
        for name, content in files.items():
            (work.payload / name).write_text(json.dumps(content))

    return store.produce(stage, stage, 1, what=what, inputs={}, make=make)


def test_ends_of_training_are_means_of_a_tenth(tmp_path):
    made = trained(Store(tmp_path), "sft", [{"loss": float(i)} for i in range(20)], {})
    [loss] = measures(made)
    assert (loss["before"], loss["after"], loss["when"]) == (0.5, 18.5, "means of 2 steps")
    assert loss["unit"] == "nats per token, lower is better"
    assert measured(made) == [
        "loss in training: 0.5 at first, 18.5 at last (means of 2 steps)",
        "steps of the last stage: 20",
    ]


@pytest.mark.parametrize(("keep_best", "after"), [(True, 0.5), (False, 0.75)])
def test_the_last_number_is_that_of_the_weights_that_are_kept(tmp_path, keep_best, after):
    numbers = ((1.0, 1), (0.5, 2), (0.75, 2))
    rows = [{"held_out_loss": value, "held_out_loss/rows": 7, "best_step": best} for value, best in numbers]
    [loss] = measures(trained(Store(tmp_path), "sft", rows, {}, keep_best=keep_best))
    assert (loss["name"], loss["before"], loss["after"], loss["n"]) == ("loss on 7 rows not trained on", 1.0, after, 7)
    assert loss["when"] == "after step 1 and of the final model"


def test_where_the_first_measured_step_is_kept_there_is_no_before(tmp_path):
    rows = [{"held_out_loss": loss, "best_step": 1} for loss in (0.5, 0.75)]
    [loss] = measures(trained(Store(tmp_path), "sft", rows, {}, keep_best=True))
    assert (loss["before"], loss["after"], loss["when"]) == (None, 0.5, "")


def test_a_ranking_has_the_number_of_pairs_and_an_interval(tmp_path):
    result = {"held_out_pairs": 20, "held_out_accuracy": 0.75, "held_out_loss": 0.5}
    made = trained(Store(tmp_path), "dpo", [{"loss": 0.7}], {"accuracy.json": result})
    *_, loss, accuracy = measures(made)
    assert (loss["before"], loss["after"], loss["low"], loss["unit"]) == (
        None,
        0.5,
        None,
        "nats per pair, lower is better",
    )
    assert (accuracy["low"], accuracy["high"]) == exact_interval(15, 20)
    assert sentences([accuracy]) == ["accuracy on 20 pairs not trained on: 0.75 [0.509, 0.913]"]


def test_problems_have_the_interval_that_was_measured_and_no_loss(tmp_path):
    row = {"loss": 0.1, "reward": 0.5, "held_out_reward": 0.5, "held_out_accuracy": 0.25, "low": 0.1, "high": 0.5}
    made = trained(Store(tmp_path), "grpo", [row], {"data.json": {"held_out": {"problems": 4}}})
    reward, accuracy = measures(made)
    assert (reward["name"], accuracy["name"]) == ("reward in training", "accuracy on 4 problems not trained on")
    assert (accuracy["low"], accuracy["high"], accuracy["n"]) == (0.1, 0.5, 4)


def test_where_no_verdict_decides_the_reward_is_told(tmp_path):
    made = trained(Store(tmp_path), "grpo", [{"held_out_reward": 0.5}], {})
    assert [measure["name"] for measure in measures(made)] == ["reward on rows not trained on"]


def test_nothing_measured_on_nothing(tmp_path):
    result = {"held_out_pairs": 0, "held_out_accuracy": None}
    assert measures(trained(Store(tmp_path), "dpo", [], {"accuracy.json": result})) == []
