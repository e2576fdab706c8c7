"""Training the scalar reward model: separable pairs are learnt, no prompt is on both sides, resume."""

import json
import math

import pytest
import torch

from afterbase.core.sample import conversation
from afterbase.core.store import Artifact
from afterbase.core.tokens import Tokenized
from afterbase.model.load import load
from afterbase.reward.scalar import load_reward_model, new_reward_model
from afterbase.train.optimise import Optimisation
from afterbase.train.pairs import Pair
from afterbase.train.reward_model import RewardModelTraining, _accuracy, train_reward_model

CONFIG = RewardModelTraining(
    epochs=2,
    pairs_per_step=6,
    held_out=0.25,
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3),
    checkpoint_every=2,
)
Inputs = tuple[Artifact, Artifact]


@pytest.fixture
def inputs(preference_inputs) -> Inputs:
    return preference_inputs(24)


def test_separable_pairs_are_learnt(inputs: Inputs, toy_store):
    config = CONFIG.model_copy(update={"epochs": 6})
    trained = train_reward_model(toy_store, "reward model", *inputs, config, seed=0)
    report = json.loads((trained.payload / "accuracy.json").read_text())
    assert (report["training_pairs"], report["held_out_pairs"]) == (18, 6)
    assert report["held_out_accuracy"] >= 0.95
    rows = trained.metrics()
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-4), "a head of zeros prefers neither"
    assert rows[-1]["loss"] < 0.2
    rm = load_reward_model(trained.payload)
    kind, rude = rm.score([conversation("99?", "5 please"), conversation("99?", "5 never")])
    assert kind > rude


def test_an_interrupted_run_goes_on_bit_for_bit(inputs: Inputs, assert_resumes):
    whole = assert_resumes(
        lambda store: train_reward_model(store, "reward model", *inputs, CONFIG, seed=3), cut=5, saved=4
    )
    assert len(whole.metrics()) == 6


def test_what_is_trained_is_trunk_and_head_and_no_output_layer(inputs: Inputs, toy_store):
    trained = train_reward_model(toy_store, "reward model", *inputs, CONFIG, seed=0)
    before, after = load(inputs[0].payload).model.state_dict(), load(trained.payload).model.state_dict()
    unmoved = {name for name in before if torch.equal(before[name], after[name])}
    assert unmoved == {"lm_head.weight"} | {n for n in before if n.endswith("e_score_correction_bias")}


def test_ties_are_no_successes(toy_lm):
    same = [Tokenized(ids, [False] * 3) for ids in ([0, 4, 9], [0, 4, 10])]
    pair = Pair(0, "?", same[0], same[1], ())
    assert _accuracy(new_reward_model(toy_lm), [pair] * 20) == 0.0
