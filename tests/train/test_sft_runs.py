"""Whole runs of supervised fine-tuning: they learn, keep checkpoints, and go on bit for bit."""

import json
import math
import signal
import subprocess
import sys

import pytest
import torch
import transformers as hf

from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, conversation, read_samples, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.pack import pack
from afterbase.model.load import load, save
from afterbase.train import sft
from afterbase.train.lora import Lora
from afterbase.train.optimizer import Optimisation
from afterbase.train.sft import _split, accumulate, mean_loss, tokenize_for_training, train_sft
from sft_toys import CONFIG
from toys import toy_samples
from zoo import LONGROPE, write

Inputs = tuple[Artifact, Artifact]
CONSTANT = Optimisation(learning_rate=1e-2, schedule="constant", warmup_steps=2)


@pytest.fixture
def inputs(toy_lm, artifact):
    """The toy base and ten samples, one of them dropped by an earlier stage."""
    first, *others = toy_samples(10)
    samples = [first.drop("curate", "wrong"), *others]
    return (
        artifact("base", lambda folder: save(toy_lm, folder)),
        artifact("data", lambda folder: write_samples(folder / "samples.parquet", samples)),
    )


def test_checkpoints_are_measured_on_held_out_samples_and_merged_where_lora_trains(inputs: Inputs, toy_store):
    """The loss of a kept folder, loaded anew, is the one that was logged; and LoRA moves what it is beside."""
    options = {"held_out": 0.3, "keep_checkpoints": 1, "lora": Lora(rank=2), "epochs": 3}
    trained = train_sft(toy_store, "sft", *inputs, CONFIG.model_copy(update=options), seed=3)
    scores = json.loads((trained.folder / "checkpoints/scores.json").read_text())
    logged = {f"step-{row['step']:08d}": row["held_out_loss"] for row in trained.metrics() if "held_out_loss" in row}
    samples = [s for s in read_samples(inputs[1].payload / "samples.parquet") if s.dropped is None]
    for name, score in scores.items():
        assert score == pytest.approx(logged[name], abs=1e-6)
        lm = load(trained.folder / "checkpoints" / name)
        examples = tokenize_for_training(lm, samples, CONFIG)
        _, held_out = _split(examples, 0.3, seed=3)
        assert mean_loss(lm, pack([examples.tokenized[i] for i in held_out], 64, seed=0)) == pytest.approx(
            score, abs=1e-4
        )
    before, after = (load(a.payload).model.state_dict() for a in (inputs[0], trained))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all((".self_attn." in name and name.endswith("_proj.weight")) or "kv_a_proj" in name for name in moved)


def test_lengths_on_both_sides_of_longropes_turn_are_refused_before_the_first_step(
    toy_store, toy_tokenizer, artifact, monkeypatch
):
    config = hf.Phi3Config(vocab_size=len(toy_tokenizer), **LONGROPE)
    model = artifact("longrope", lambda folder: write(folder, config, toy_tokenizer))
    samples = [
        Sample(messages=conversation(f"{n}?", "word " * n), domain="d", kind="k", problem_id=None, producer={})
        for n in (2, 3, 60)
    ]
    data = artifact("talks", lambda folder: write_samples(folder / "samples.parquet", samples))
    steps = []
    monkeypatch.setattr(sft, "accumulate", lambda *args, **options: steps.append(args) or accumulate(*args, **options))
    with pytest.raises(UserError, match="share no row with shorter ones"):
        train_sft(toy_store, "sft", model, data, CONFIG.model_copy(update={"row_tokens": 400}), seed=0)
    assert not steps
    train_sft(toy_store, "sft", model, data, CONFIG, seed=0)  # as the remedy says: the long one is left out
    assert steps


def test_an_interrupted_run_goes_on_bit_for_bit(inputs: Inputs, assert_resumes):
    whole = assert_resumes(lambda store: train_sft(store, "sft", *inputs, CONFIG, seed=3), cut=5, saved=4)
    assert len(whole.metrics()) >= 6


@pytest.mark.parametrize("options", [{}, {"lora": Lora(rank=2), "held_out": 0.3, "eval_every": 2}], ids=["all", "lora"])
def test_more_epochs_at_a_constant_rate_go_on_bit_for_bit(inputs: Inputs, assert_lengthens, options):
    def stage(store: Store, epochs: int) -> Artifact:
        config = CONFIG.model_copy(
            update={"optimisation": CONSTANT, "checkpoint_every": 50, "epochs": epochs, **options}
        )
        return train_sft(store, "sft", *inputs, config, seed=3)

    assert_lengthens(stage, short=2, long=3)


KILLED = """
import os, signal, sys
from pathlib import Path
from afterbase.core.progress import Silent, StageLine
from afterbase.core.store import Store
from afterbase.train.sft import Sft, train_sft

class Line(StageLine):
    def update(self, step, total, **numbers):
        if step == int(at):
            os.kill(os.getpid(), signal.SIGKILL)

class Killed(Silent):
    def stage(self, name):
        return Line(name, screen=self._screen, clock=self._clock)

root, config, at, *keys = sys.argv[1:]
inputs = [Store(Path(root) / "inputs").find(key, "input") for key in keys]
train_sft(Store(Path(root) / "killed", progress=Killed()), "sft", *inputs, Sft.model_validate_json(config), seed=3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 4, 5])
def test_a_killed_process_leaves_what_the_next_one_needs(inputs: Inputs, tmp_path, step: int):
    """SIGKILL at any step, which nothing can catch, in a process of its own; a checkpoint may be half written then."""
    arguments = [CONFIG.model_dump_json(), str(step), *(a.key for a in inputs)]
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed = train_sft(Store(tmp_path / "killed"), "sft", *inputs, CONFIG, seed=3)
    whole = train_sft(Store(tmp_path / "whole"), "sft", *inputs, CONFIG, seed=3)
    assert resumed.digest == whole.digest


def test_a_run_learns_and_keeps_what_it_says(inputs: Inputs, toy_store):
    config = CONFIG.model_copy(update={"epochs": 6})
    trained = train_sft(toy_store, "sft", *inputs, config, seed=3)
    rows = trained.metrics()
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["mtp_loss"] < rows[0]["mtp_loss"]
    assert rows[0]["loss"] == pytest.approx(math.log(400), rel=0.2), "the base is random"
    assert (rows[0]["learning_rate"], rows[-1]["learning_rate"]) == (1e-2, 1e-3)
    assert json.loads((trained.payload / "data.json").read_text())["samples"] == 9, "dropped rows stay dropped"
    before, after = load(inputs[0].payload), load(trained.payload)
    assert after.mtp is not None
    moved = after.modules().state_dict()
    for name, weight in before.modules().state_dict().items():
        assert torch.equal(weight, moved[name]) == name.endswith("e_score_correction_bias"), name


def test_the_seed_orders_the_rows(inputs: Inputs, toy_store):
    config = CONFIG.model_copy(update={"epochs": 1})
    first, again, other = (
        train_sft(toy_store.labelled(str(i)), "sft", *inputs, config, seed=seed) for i, seed in enumerate((0, 0, 1))
    )
    assert first.key == again.key
    assert first.digest != other.digest
