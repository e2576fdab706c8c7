"""What a job has where nothing is said: valid for each kind, and never against what is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.config import config_of
from afterbase.data.own.row_lengths import RowLengths
from afterbase.recipe import DistillationRecipe, GrpoRecipe, PreferenceRecipe, RewardModelRecipe, SftRecipe
from afterbase.recipe.job_defaults import BaseFacts, chosen, job_defaults
from afterbase.recipe.job_table import merged

ROWS = {"data": {"files": ["rows.jsonl"]}}
JOBS = {
    "sft": (SftRecipe, {"kind": "sft", **ROWS}),
    "dpo": (PreferenceRecipe, {"kind": "preference", **ROWS}),
    "kto": (PreferenceRecipe, {"kind": "preference", **ROWS}),
    "reward_model": (RewardModelRecipe, {"kind": "reward-model", **ROWS}),
    "grpo": (GrpoRecipe, {"kind": "grpo", "problems": {"path": "rows.jsonl", "verifier": "maths"}}),
}
LENGTHS = st.builds(RowLengths, st.integers(1, 10**6), st.integers(1, 10**8), st.integers(1, 10**5))
BASES = st.builds(BaseFacts, st.just("base"), st.integers(1, 10**12), st.integers(64, 10**6))


@given(stage=st.sampled_from(sorted(JOBS)), base=BASES, lengths=st.none() | LENGTHS, lora=st.booleans())
def test_what_is_left_out_is_valid(stage, base, lengths, lora):
    kind, said = JOBS[stage]
    said = {**said, "name": "job", "base": "base", stage: {"lora": {}} if lora else {}}
    table = merged(job_defaults(stage, base, said, lengths), said)
    assert config_of(table, kind, "a test").name == "job"
    told = chosen(stage, base, table, lengths or RowLengths(1, 1, 1))
    starts = [line.split(":")[0] for line in told]
    assert starts[:4] == ["base", "data", "learning rate", "each step"]
    assert starts[4:] == (["held out"] if stage in ("dpo", "kto", "reward_model") else [])


@pytest.mark.parametrize("stage", ["dpo", "kto", "reward_model"])
def test_it_is_told_which_preferences_are_held_out_unless_the_user_names_them(stage):
    base, lengths = BaseFacts("b", 10**8, 2048), RowLengths(1, 300, 300)
    table = merged(job_defaults(stage, base, JOBS[stage][1], lengths), JOBS[stage][1])
    assert chosen(stage, base, table, lengths)[-1].startswith("held out: 10% of the prompts")
    named = merged(table, {"data": {"eval": {"files": ["e.jsonl"]}}})
    assert not [line for line in chosen(stage, base, named, lengths) if line.startswith("held out")]


def test_one_is_told_as_one():
    base, lengths = BaseFacts("b", 10**8, 2048), RowLengths(1, 300, 300)
    table = merged(job_defaults("dpo", base, ROWS, lengths), ROWS)
    assert "each step: 1 pair; epochs: 3" in chosen("dpo", base, table, lengths)


def test_the_smallest_models_train_on_one_thread_unless_told_otherwise():
    small, larger = BaseFacts("b", 4 * 10**6, 1024), BaseFacts("b", 135 * 10**6, 2048)
    assert job_defaults("sft", small, ROWS, None)["threads"] == 1
    assert "threads" not in job_defaults("sft", larger, ROWS, None)
    assert merged(job_defaults("sft", small, ROWS, None), {"threads": 2})["threads"] == 2


def test_a_student_has_a_teachers_defaults_too():
    said = {"kind": "distillation", "name": "job", "base": "b", **ROWS, "teacher": {"model": "tiny-v3"}}
    table = merged(job_defaults("sft", BaseFacts("b", 10**6, 1024), said, None), said)
    recipe = config_of(table, DistillationRecipe, "a test")
    assert recipe.teacher.max_new_tokens == 512


@pytest.mark.parametrize(("most", "size"), [(None, 512), (40, 64), (900, 1024)])
def test_rows_of_a_student_hold_the_longest_answer_behind_the_longest_prompt(most, size):
    teacher = {"model": "b", "samples": 2, **({} if most is None else {"max_new_tokens": most})}
    table = job_defaults("sft", BaseFacts("b", 10**6, 1000), {"teacher": teacher}, RowLengths(4, 60, 12))
    assert table["sft"]["row_tokens"] == min(size, 1000)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_the_warm_up_goes_by_the_epochs_that_are_said(stage):
    base, lengths = BaseFacts("b", 10**8, 2048), RowLengths(5000, 10**6, 300)
    few, many = (
        job_defaults(stage, base, {stage: {"epochs": epochs}}, lengths)[stage]["optimisation"]["warmup_steps"]
        for epochs in (1, 5)
    )
    assert few < many


@pytest.mark.parametrize("stage", ["sft", "dpo", "grpo"])
def test_a_constant_rate_needs_nothing_else_that_is_said_to_go_on(stage):
    """A longer run differs in its length alone, and it has no floor, which a constant rate would refuse."""
    base, lengths = BaseFacts("b", 10**8, 2048), RowLengths(5000, 10**6, 300)
    length = "steps" if stage == "grpo" else "epochs"
    kind, head = JOBS[stage]
    own = {"optimisation": {"schedule": "constant"}}
    head = {**head, "name": "job", "base": "b", "eval": "rows.jsonl"}
    few, many = (
        merged(
            job_defaults(stage, base, {**head, stage: {**own, length: size}}, lengths), {stage: {**own, length: size}}
        )
        for size in (20, 300)
    )
    assert {**few[stage], length: many[stage][length]} == many[stage]
    assert few[stage]["optimisation"]["warmup_steps"] > 0
    assert few[stage]["eval_every"] > 1
    head.pop("eval")
    few[stage].pop("eval_every")
    assert config_of({**head, **few}, kind, "a test").name == "job"
    assert "down to" not in " ".join(chosen(stage, base, few, lengths))


def test_held_out_rows_are_measured_some_times():
    base, lengths = BaseFacts("b", 10**8, 2048), RowLengths(5000, 10**6, 300)
    assert "eval_every" not in job_defaults("sft", base, {}, lengths)["sft"]
    assert job_defaults("sft", base, {"data": {"eval": {"files": ["e.jsonl"]}}}, lengths)["sft"]["eval_every"] > 1


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto", "reward_model"])
def test_a_short_training_that_is_interrupted_loses_a_tenth_of_it_at_most(stage):
    base = BaseFacts("b", 10**8, 2048)
    few, many = (
        job_defaults(stage, base, {stage: {"epochs": epochs}}, RowLengths(60, 6000, 300))[stage]["checkpoint_every"]
        for epochs in (4, 1000)
    )
    assert few < 20
    assert many == 50
