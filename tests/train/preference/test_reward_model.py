"""Training the scalar reward model: separable pairs are learnt, no prompt is on both sides, resume."""

import dataclasses
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional as F

from afterbase.core.sample import conversation
from afterbase.core.store import Artifact
from afterbase.core.tokens import Tokenized
from afterbase.model.load import load
from afterbase.reward.scalar import load_reward_model, new_reward_model
from afterbase.train.optimizer import Optimisation
from afterbase.train.preference.preference_pairs import Pair, read_pairs
from afterbase.train.preference.reward_model import RewardModelTraining, accumulate, measure_ranking, train_reward_model

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


def test_it_learns_from_what_it_is_asked_about_answers_without_thoughts(inputs: Inputs, artifact, toy_store):
    table = pq.read_table(inputs[1].payload / "pairs.parquet")
    rows = [{**row, "chosen": f"<think>\nHm.\n</think>{row['chosen']}"} for row in table.to_pylist()]
    rows.append({"prompt": "?", "chosen": "5 please", "rejected": "<think>\nfor ever", "source": "toy"})
    thoughtful = artifact(
        "thoughts", lambda folder: pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet")
    )
    plain = train_reward_model(toy_store, "plain", *inputs, CONFIG, seed=0)
    trained = train_reward_model(toy_store, "thoughtful", inputs[0], thoughtful, CONFIG, seed=0)
    scores = [load_reward_model(made.payload).score([conversation("1?", "5 please")]) for made in (plain, trained)]
    assert scores[0] == scores[1] != [0.0]
    report = json.loads((trained.payload / "accuracy.json").read_text())
    assert (report["unanswered"], report["too_long"]) == (1, 0)


def test_an_interrupted_run_goes_on_bit_for_bit(inputs: Inputs, assert_resumes):
    whole = assert_resumes(
        lambda store: train_reward_model(store, "reward model", *inputs, CONFIG, seed=3), cut=5, saved=4
    )
    assert len(whole.metrics()) == 6


def test_more_epochs_at_a_constant_rate_go_on_bit_for_bit(inputs: Inputs, assert_lengthens):
    constant = CONFIG.model_copy(update={"optimisation": Optimisation(learning_rate=3e-3, schedule="constant")})

    def stage(store, epochs: int):
        return train_reward_model(
            store, "reward model", *inputs, constant.model_copy(update={"epochs": epochs}), seed=3
        )

    assert_lengthens(stage, short=1, long=2)


def test_what_is_trained_is_trunk_and_head_and_no_output_layer(inputs: Inputs, toy_store):
    trained = train_reward_model(toy_store, "reward model", *inputs, CONFIG, seed=0)
    before = load(inputs[0].payload).model.state_dict()
    after = load_reward_model(trained.payload).lm.model.state_dict()
    assert before.keys() - after.keys() == {"lm_head.weight"}
    assert after.keys() - before.keys() == {"score.weight"}
    unmoved = {name for name in before.keys() & after.keys() if torch.equal(before[name], after[name])}
    assert unmoved == {n for n in before if n.endswith("e_score_correction_bias")}


def test_ties_are_no_successes_and_no_confidence(toy_lm):
    same = [Tokenized(ids, [False] * 3) for ids in ([0, 4, 9], [0, 4, 10])]
    pair = Pair(0, "?", same[0], same[1], ())
    found = measure_ranking(new_reward_model(toy_lm), [pair] * 20, 64)
    assert found == {"held_out_accuracy": 0.0, "held_out_confidence": 0.5, "held_out_loss": pytest.approx(math.log(2))}


def test_confidence_is_the_probability_of_the_preferred_side(toy_lm, preference_inputs):
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, std=3.0)
    pairs = read_pairs(toy_lm, preference_inputs(6)[1]).kept
    with torch.no_grad():
        scores = [rm.scores([answer.ids for answer in pair.answers]).tolist() for pair in pairs]
    chances = [1 / (1 + math.exp(rejected - chosen)) for chosen, rejected in scores]
    found = measure_ranking(rm, pairs, 64)
    assert found["held_out_accuracy"] == pytest.approx(sum(c > 0.5 for c in chances) / 6)
    assert found["held_out_confidence"] == pytest.approx(sum(max(c, 1 - c) for c in chances) / 6, abs=1e-5)
    assert found["held_out_loss"] == pytest.approx(-sum(map(math.log, chances)) / 6, abs=1e-5)


@pytest.mark.parametrize("row_tokens", [64, 150, 4096])
def test_gradients_are_those_of_a_plain_loop_whatever_the_rows(exact_lm, preference_inputs, row_tokens: int):
    rm = new_reward_model(exact_lm)
    rm.head.double()
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    pairs = read_pairs(exact_lm, preference_inputs(5)[1]).kept
    pairs = [dataclasses.replace(pair, margin=0.3 * pair.row) for pair in pairs]
    modules = rm.modules()
    loss, accuracy = accumulate(rm, pairs, row_tokens)
    found = {n: p.grad.clone() for n, p in modules.named_parameters() if p.grad is not None}
    modules.zero_grad()
    alone = [torch.cat([rm.scores([answer.ids]) for answer in pair.answers]) for pair in pairs]
    losses = [-F.logsigmoid(c - r - 0.3 * pair.row) for pair, (c, r) in zip(pairs, alone, strict=True)]
    expected = torch.stack(losses).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-10)
    assert accuracy == sum((c > r).item() for c, r in alone) / 5
    for name, parameter in modules.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-9)
