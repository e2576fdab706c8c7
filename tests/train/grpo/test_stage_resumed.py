"""An interrupted run of GRPO goes on bit for bit, in every form, and a longer one from a shorter one."""

import json

import pytest
import torch

from afterbase.model.load import load
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.optimizer import Optimisation
from grpo_toys import problem_set, settings, toy_problems


def test_an_interrupted_run_goes_on_bit_for_bit(model, reward_model, artifact, assert_resumes):
    """With both tracks of reward, the KL to a reference, and an optimizer that is in full swing."""
    sets = [
        problem_set(artifact, "chat", toy_problems(3)),
        problem_set(artifact, "maths", toy_problems(2, verifier="maths")),
    ]
    config = settings(objective=Objective(preset="dr_grpo", beta=0.05))
    whole = assert_resumes(
        lambda store: train_grpo(store, "grpo", model, sets, config, seed=1, reward_model=reward_model), cut=5, saved=4
    )
    rows = whole.metrics()
    assert len(rows) == 6
    assert all(row["grad_norm"] > 0 and row["mismatch/max"] < 1e-4 for row in rows)
    assert rows[0]["kl"] == 0.0
    assert rows[-1]["kl"] != 0.0, "the reference is the starting model, not the present one"
    examples = [json.loads(line) for line in (whole.payload / "samples.jsonl").read_text().splitlines()]
    assert [e["step"] for e in examples] == [1, 2, 3, 4, 5, 6]
    before, after = load(model.payload).modules().state_dict(), load(whole.payload).modules().state_dict()
    unmoved = {name for name in before if torch.equal(before[name], after[name])}
    draft = {name for name in before if name.startswith("mtp.")}
    assert draft <= unmoved, "RL leaves the draft alone"
    assert "trunk.lm_head.weight" not in unmoved


@pytest.mark.parametrize(
    "form",
    [
        {"difficulty_weighted": True},
        {"epochs": 2, "minibatches": 2, "reference_every": 2, "objective": Objective(preset="dr_grpo", beta=0.05)},
    ],
    ids=["by difficulty", "several updates"],
)
def test_more_steps_at_a_constant_rate_go_on_bit_for_bit(model, reward_model, artifact, assert_lengthens, form):
    """The reference, notes on prompts and the cursor behind them are those of the shorter run."""
    problems = [problem_set(artifact, "chat", toy_problems(5))]

    def stage(store, steps: int):
        config = settings(optimisation=Optimisation(learning_rate=1e-2, schedule="constant"), **form, steps=steps)
        return train_grpo(store, "grpo", model, problems, config, seed=1, reward_model=reward_model)

    assert_lengthens(stage, short=3, long=5)


def test_an_overlapping_run_is_made_anew(model, reward_model, artifact, toy_store):
    """Its last step begins no rollout, where a longer run's does, with the weights of then."""
    problems = [problem_set(artifact, "chat", toy_problems(5))]
    objective = Objective(preset="dr_grpo", importance="truncate")
    constant = Optimisation(learning_rate=1e-2, schedule="constant")
    for steps in (1, 2):
        form = {"objective": objective, "overlap": True, "mismatch_alarm": 10.0}
        config = settings(optimisation=constant, **form, steps=steps)
        made = train_grpo(toy_store, "grpo", model, problems, config, seed=1, reward_model=reward_model)
        assert "goes_on_from" not in made.manifest
        assert not (made.folder / "resume").exists()


FORMS = {
    "minibatches and epochs": {"prompts": 4, "minibatches": 2, "epochs": 2},
    "reference replaced": {"reference_every": 2, "objective": Objective(preset="grpo")},
    "overlap": {
        "overlap": True,
        "objective": Objective(preset="dr_grpo", importance="truncate"),
        "mismatch_alarm": 1.0,
    },
    "dynamic sampling": {"objective": Objective(preset="dapo")},
    "weighted prompts": {"difficulty_weighted": True, "objective": Objective(preset="cispo")},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_goes_on_bit_for_bit(model, reward_model, artifact, assert_resumes, form):
    """Interrupted in the middle, with what it has in flight: more prompts, old weights, another reference."""
    problems = [problem_set(artifact, "chat", toy_problems(5))]
    config = settings(steps=4, **FORMS[form])
    updates = config.updates
    whole = assert_resumes(
        lambda store: train_grpo(store, "grpo", model, problems, config, seed=1, reward_model=reward_model),
        cut=3 * updates,
        saved=2 * updates,
    )
    rows = whole.metrics()
    assert len(rows) == 4 * updates
    assert len((whole.payload / "samples.jsonl").read_text().splitlines()) == 4
    if form == "overlap":
        assert rows[0]["mismatch"] < 1e-4
        assert all(row["mismatch"] > 1e-4 for row in rows[1:]), "one update lies between engine and trainer"
    if form == "reference replaced":
        assert [row["kl"] == 0.0 for row in rows] == [True, False, True, False]
