"""Training that measures itself on held-out rows: when, what the result is, when it stops early, and resume."""

import json
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.model.load import load, save
from afterbase.train.config import EvaluatedTraining, Optimisation
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.loop import TrainingLoop
from afterbase.train.preference.config import Dpo, Kto, RewardModelTraining
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.kto import train_kto
from afterbase.train.preference.reward_model import train_reward_model

RATE = Optimisation(learning_rate=1e-2, schedule="constant")


def toy_stage(store: Store, scores: list[float], steps: int, **settings) -> tuple[Artifact, float]:
    """A weight that is the number of steps taken; the measured scores are what the test says."""
    config = EvaluatedTraining(optimisation=RATE, **settings)
    given: Iterator[float] = iter(scores)

    def make(work: Workspace) -> None:
        trunk = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(trunk.weight)
        modules = torch.nn.ModuleDict({"trunk": trunk})
        with TrainingLoop(work, config, modules, modules, steps) as loop:
            for step in loop:
                trunk.weight.grad = torch.zeros_like(trunk.weight)
                loop.update({"loss": 0.5, "tokens": 1}, batch=step)
                torch.nn.init.constant_(trunk.weight, step + 1)
                if loop.evaluates:
                    score = next(given)
                    loop.score(score, held_out_loss=score)
        (work.payload / "weight.json").write_text(json.dumps(trunk.weight.item()))

    made = store.produce("toy", "toy", 1, what={"scores": scores, "steps": steps}, inputs={}, make=make)
    return made, json.loads((made.payload / "weight.json").read_text())


def test_the_result_is_the_best_measured_step_and_the_metrics_say_which(toy_store):
    made, weight = toy_stage(toy_store, [0.3, 0.1, 0.1, 0.2], steps=7, eval_every=2)
    rows = made.metrics()
    assert {row["step"]: row["held_out_loss"] for row in rows if "held_out_loss" in row} == {
        2: 0.3, 4: 0.1, 6: 0.1, 7: 0.2,
    }  # fmt: skip
    assert [row.get("best_step") for row in rows] == [None, 2, None, 4, None, 4, 4], "the first of equals"
    assert weight == 4.0


def test_without_keep_best_the_result_is_the_last_step(toy_store):
    assert toy_stage(toy_store, [0.3, 0.1, 0.5], steps=3, eval_every=1, keep_best=False)[1] == 3.0


def test_a_score_that_is_no_number_is_never_the_best(toy_store):
    assert toy_stage(toy_store, [float("nan"), 0.4, float("inf")], steps=3, eval_every=1)[1] == 2.0
    assert toy_stage(toy_store, [float("nan")] * 3, steps=3, eval_every=1)[1] == 3.0


def test_without_gain_for_as_long_as_the_patience_it_stops(toy_store):
    made, weight = toy_stage(toy_store, [0.5, 0.3, 0.4, 0.3, 0.1], steps=5, eval_every=1, patience=2)
    assert [row["step"] for row in made.metrics()] == [1, 2, 3, 4]
    assert made.metrics()[-1]["stopped"] == "no gain on the held-out rows in 2 measurements"
    assert weight == 2.0


def test_patience_without_measurements_is_refused():
    with pytest.raises(ValidationError, match="patience counts"):
        EvaluatedTraining(optimisation=RATE, patience=3)


PAIRS = {"epochs": 2, "pairs_per_step": 6, "optimisation": RATE, "checkpoint_every": 4, "eval_every": 3}
STAGES = {
    "dpo": lambda store, a, b, r, held_out: train_dpo(store, "dpo", a, b, r, Dpo(**PAIRS), seed=3, held_out=held_out),
    "orpo": lambda store, a, b, _, held_out: train_dpo(
        store, "orpo", a, b, None, Dpo(loss="orpo", **PAIRS), seed=3, held_out=held_out
    ),
    "kto": lambda store, a, b, r, held_out: train_kto(store, "kto", a, b, r, Kto(**PAIRS), seed=3, held_out=held_out),
    "reward model": lambda store, a, b, _, held_out: train_reward_model(
        store, "rm", a, b, RewardModelTraining(**PAIRS), seed=3, held_out=held_out
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_pairs_are_measured_on_the_held_out_ones_and_resume_bit_for_bit(
    preference_inputs, with_reference, assert_resumes, stage
):
    """Cut between a measurement and the next checkpoint, which an earlier measurement may be the best of."""
    inputs = with_reference(preference_inputs(24))
    held_out = preference_inputs(5)[1]
    whole = assert_resumes(lambda store: STAGES[stage](store, *inputs, held_out), cut=7, saved=6)
    measured = {row["step"]: row for row in whole.metrics() if "held_out_loss" in row}
    assert list(measured) == [3, 6, 8]
    assert all(0 <= row["held_out_accuracy"] <= 1 for row in measured.values())
    best = min(measured, key=lambda step: measured[step]["held_out_loss"])
    assert whole.metrics()[-1]["best_step"] == best
    report = json.loads((whole.payload / "accuracy.json").read_text())
    assert (report["training_pairs"], report["held_out_pairs"]) == (24, 5), "no share of the pairs is kept"
    assert report["held_out_loss"] == pytest.approx(measured[best]["held_out_loss"], abs=1e-5)


@pytest.fixture
def grpo_inputs(toy_lm, artifact):
    problems = [
        Problem(domain="toy", prompt=f"say {i}", gold="1", verifier="exact", spec={"answer": "1"}) for i in range(4)
    ]
    return (
        artifact("model", lambda folder: save(toy_lm, folder)),
        artifact("problems", lambda folder: write_problems(folder / "train.parquet", problems)),
        artifact("held out", lambda folder: write_problems(folder / "train.parquet", problems[:3])),
    )


GRPO = Grpo(
    steps=4,
    prompts=2,
    samples=2,
    max_new_tokens=4,
    probe_groups=0,
    minibatches=2,
    eval_every=2,
    checkpoint_every=3,
    optimisation=RATE,
)


@pytest.mark.parametrize("changes", [{}, {"eval_samples": 2}, {"overlap": True}], ids=["greedy", "sampled", "overlap"])
def test_grpo_is_measured_on_held_out_problems(grpo_inputs, assert_resumes, changes):
    model, problems, held_out = grpo_inputs
    if changes.get("overlap"):
        changes = {**changes, "objective": GRPO.objective.model_copy(update={"importance": "truncate"})}
        changes["mismatch_alarm"] = 9.0  # one step off-policy at this rate is far off
    config = GRPO.model_copy(update=changes)
    whole = assert_resumes(
        lambda store: train_grpo(store, "grpo", model, [problems], config, seed=0, held_out=held_out), cut=5, saved=4
    )
    measured = {row["step"]: row for row in whole.metrics() if "held_out_accuracy" in row}
    assert list(measured) == [4, 8], "after the second and the last rollout, of two updates each"
    for row in measured.values():
        assert 0 <= row["low"] <= row["held_out_accuracy"] <= row["high"] <= 1
        assert row["high"] - row["low"] > 0.3, "of three problems"


def test_measurements_without_held_out_rows_are_refused(grpo_inputs, toy_store):
    model, problems, _ = grpo_inputs
    with pytest.raises(UserError, match="does not train on"):
        train_grpo(toy_store, "grpo", model, [problems], GRPO, seed=0)


def test_the_kept_step_is_the_one_that_was_measured(preference_inputs, artifact, toy_store):
    """The held-out pairs are the wrong way round: each step makes them worse, and the first is the best."""
    model, pairs = preference_inputs(24)
    table = pq.read_table(preference_inputs(5)[1].payload / "pairs.parquet")
    names = {"chosen": "rejected", "rejected": "chosen"}
    swapped = table.rename_columns([names.get(name, name) for name in table.column_names])
    held_out = artifact("swapped", lambda folder: pq.write_table(swapped, folder / "pairs.parquet"))
    config = Dpo(pairs_per_step=6, optimisation=RATE, eval_every=1)
    first = config.model_copy(update={"keep_best": False})
    kept = train_dpo(toy_store, "kept", model, pairs, None, config, seed=0, held_out=held_out)
    last = train_dpo(toy_store, "last", model, pairs, None, first, seed=0, held_out=held_out)
    assert kept.metrics()[-1]["best_step"] == last.metrics()[-1]["best_step"] == 1
    losses = [row["held_out_loss"] for row in kept.metrics()]
    assert losses == sorted(losses) == [row["held_out_loss"] for row in last.metrics()]
    reports = [json.loads((made.payload / "accuracy.json").read_text()) for made in (kept, last)]
    assert [r["held_out_loss"] for r in reports] == pytest.approx([losses[0], losses[-1]], abs=1e-5)
    states = [load(made.payload).model.state_dict() for made in (kept, last)]
    assert not torch.equal(states[0]["lm_head.weight"], states[1]["lm_head.weight"])
