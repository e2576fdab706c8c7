"""Single trainings as programs."""

import json

import pytest

from afterbase.core.store import Store
from afterbase.recipe import PreferenceRecipe, RewardModelRecipe, SftRecipe
from afterbase.run_jobs import job_data, run_job

RATE = {"optimisation": {"learning_rate": 1e-3}}
CHATS = [{"prompt": f"{n} + 1?", "completion": str(n + 1)} for n in range(20)]
PAIRS = [{"prompt": f"{n} + 1?", "chosen": str(n + 1), "rejected": str(n)} for n in range(20)]
JOBS = {
    "sft": (SftRecipe, {"sft": {**RATE, "epochs": 3}}, CHATS, 3),
    "preference": (PreferenceRecipe, {"dpo": {**RATE, "epochs": 2}}, PAIRS, 2),
    "reward-model": (RewardModelRecipe, {"reward_model": {**RATE, "epochs": 1}}, PAIRS, 1),
}


@pytest.mark.parametrize("kind", JOBS)
def test_a_plan_counts_the_tokens_of_rows_that_are_there(kind, tmp_path):
    model, stage, rows, epochs = JOBS[kind]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = model.model_validate(
        {"kind": kind, "name": "plan", "base": "tiny-v3", "data": {"files": (str(file),)}, **stage}
    )
    planned = Store(tmp_path / "store", plan_only=True)
    run_job(planned, recipe, 0)
    assert planned.stages[-1].cost.trained == 0  # nothing is known of rows that nobody has read
    job_data(Store(tmp_path / "store"), recipe, 0)
    planned = Store(tmp_path / "store", plan_only=True)
    run_job(planned, recipe, 0)
    per_row = planned.stages[-1].cost.trained / epochs / len(rows)
    assert 5 < per_row < 60
