"""Recipes of one training: what none of them may ask for, told before any row is read."""

from typing import Any

import pytest

from afterbase.core.config import config_of
from afterbase.core.errors import UserError
from afterbase.data.generate.teacher import Teacher
from afterbase.recipe import DistillationRecipe, GrpoRecipe, Job, PreferenceRecipe, RewardModelRecipe, SftRecipe
from afterbase.recipe.job_defaults import BaseFacts, job_defaults
from afterbase.recipe.job_table import merged

HEAD = {"name": "job", "base": "base"}
ROWS = {"data": {"files": ["rows.jsonl"]}}
TEACHER = {"teacher": {"model": "tiny-v3"}}
PROBLEMS = {"problems": {"path": "rows.jsonl", "verifier": "maths"}}
JOBS: dict[str, tuple[type[Job], dict]] = {
    "sft": (SftRecipe, {"kind": "sft", **ROWS}),
    "distill": (DistillationRecipe, {"kind": "distillation", **ROWS, **TEACHER}),
    "grpo": (GrpoRecipe, {"kind": "grpo", **PROBLEMS}),
    "dpo": (PreferenceRecipe, {"kind": "preference", **ROWS}),
    "kto": (PreferenceRecipe, {"kind": "preference", **ROWS}),
    "reward_model": (RewardModelRecipe, {"kind": "reward-model", **ROWS}),
}


def recipe(job: str, **said) -> Job:
    kind, table = JOBS[job]
    stage: Any = "sft" if job == "distill" else job
    table = merged({**HEAD, **table}, said)
    return config_of(merged(job_defaults(stage, BaseFacts("base", 10**8, 2048), table, None), table), kind, "a test")


@pytest.mark.parametrize("job", ["sft", "distill", "grpo"])
def test_measurements_need_rows_to_measure_on(job):
    stage = "grpo" if job == "grpo" else "sft"
    with pytest.raises(UserError, match="rows that it does not train on") as caught:
        recipe(job, **{stage: {"eval_every": 2}})
    assert "no held-out rows" in caught.value.got
    given = {"eval": PROBLEMS["problems"]} if job == "grpo" else {"data": {"eval": ROWS["data"]}}
    assert recipe(job, **{stage: {"eval_every": 2}}, **given).name == "job"


def test_a_share_of_the_rows_may_be_kept_for_them():
    assert recipe("sft", sft={"eval_every": 2, "held_out": 0.1}).name == "job"


@pytest.mark.parametrize("job", ["dpo", "kto", "reward_model"])
def test_answers_that_are_judged_bear_the_loss_alone(job):
    for table in ({"trained": "last"}, {"eval": {**ROWS["data"], "trained": "last"}}):
        with pytest.raises(UserError, match="a choice of fine-tuning alone"):
            recipe(job, data=table)


def test_who_answers_is_told():
    assert recipe("distill").teachers() == [Teacher(model="tiny-v3", max_new_tokens=1024, most_failed=0.2)]
    assert recipe("sft").teachers() == []
