"""Training the scalar reward model: separable pairs are learnt, no prompt is on both sides, resume."""

import json
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.core.sample import conversation
from afterbase.core.store import Artifact
from afterbase.core.tokens import tokenize
from afterbase.model.load import load, save
from afterbase.reward.scalar import load_reward_model, new_reward_model
from afterbase.train.optimise import Optimisation
from afterbase.train.reward_model import RewardModelTraining, _accuracy, _batches, _split, train_reward_model

CONFIG = RewardModelTraining(
    epochs=2,
    pairs_per_step=6,
    held_out=0.25,
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3),
    checkpoint_every=2,
)
Inputs = tuple[Artifact, Artifact]


def toy_pairs(prompts: int, per_prompt: int = 1) -> list[dict[str, str]]:
    """Polite answers are chosen over rude ones, whatever the prompt."""
    rng = random.Random(0)
    return [
        {"prompt": f"{p}?", "chosen": f"{n} please", "rejected": f"{n} never", "source": "toy"}
        for p in range(prompts)
        for n in [rng.randrange(100)] * per_prompt
    ]


def write_pairs(rows: list[dict[str, str]]):
    schema = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected", "source")])
    return lambda folder: pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "pairs.parquet")


@pytest.fixture
def inputs(toy_lm, artifact) -> Inputs:
    return artifact("sft", lambda folder: save(toy_lm, folder)), artifact("pairs", write_pairs(toy_pairs(24)))


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


def test_no_prompt_is_on_both_sides(toy_lm, artifact):
    rm, rows = new_reward_model(toy_lm), toy_pairs(8, per_prompt=3)
    pairs = artifact("pairs", write_pairs(rows))
    training, held_out = _split(rm, pairs, CONFIG, seed=0)
    assert (len(training), len(held_out)) == (18, 6)
    prompt_of = {
        tuple(tokenize(rm.lm.tokenizer, conversation(row["prompt"], row["chosen"])).ids): row["prompt"] for row in rows
    }
    sides = [{prompt_of[tuple(chosen)] for chosen, _ in side} for side in (training, held_out)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 8
    assert _split(rm, pairs, CONFIG, seed=0) == (training, held_out)
    assert _split(rm, pairs, CONFIG, seed=1) != (training, held_out)


@pytest.mark.parametrize("rows", [[], toy_pairs(1, per_prompt=4)], ids=["no pairs", "one prompt"])
def test_too_few_prompts_are_refused(toy_lm, artifact, rows):
    with pytest.raises(UserError, match="pairs of other prompts") as raised:
        _split(new_reward_model(toy_lm), artifact("pairs", write_pairs(rows)), CONFIG, seed=0)
    assert raised.value.got.startswith(f"{len(rows)} pairs over {len(rows[:1])} prompts")


def test_every_pair_is_shown_once_an_epoch():
    pairs = [([i], [i]) for i in range(10)]
    batches = _batches(pairs, CONFIG.model_copy(update={"pairs_per_step": 4}), seed=0)
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    shown = [chosen[0] for batch in batches for chosen, _ in batch]
    assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
    assert shown[:10] != shown[10:]


def test_ties_are_no_successes(toy_lm):
    pairs = [([0, 4, 9], [0, 4, 10])] * 20
    assert _accuracy(new_reward_model(toy_lm), pairs) == 0.0
