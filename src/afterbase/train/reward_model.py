"""The scalar reward model (V3 report section 5.2.1): trained from the SFT checkpoint on preference pairs.

Ours is scalar: the report's model also writes the chain of thought that leads to its reward; that part is not covered
here. A share of the prompts is held out, and accuracy on their pairs is reported with the model.
"""

import json
import random
import time
from collections.abc import Sequence

import pyarrow.parquet as pq
import torch
from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import conversation
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.core.tokens import tokenize
from afterbase.model.load import load
from afterbase.reward.scalar import RewardModel, new_reward_model, save_reward_model
from afterbase.train.losses.preference import bradley_terry_loss
from afterbase.train.optimise import Checkpoint, Optimisation, SkippedSteps, adamw, learning_rate, update

VERSION = 2

Pair = tuple[list[int], list[int]]  # token ids of the chosen and of the rejected conversation


class RewardModelTraining(Config):
    """One run over the preference pairs."""

    epochs: int = Field(ge=1)
    pairs_per_step: int = Field(ge=1)
    held_out: float = Field(gt=0, lt=1)
    """Share of the prompts whose pairs are kept for the accuracy."""
    optimisation: Optimisation
    checkpoint_every: int = Field(default=50, ge=1)


def train_reward_model(
    store: Store, name: str, sft: Artifact, preferences: Artifact, config: RewardModelTraining, *, seed: int
) -> Artifact:
    """A reward model folder, and accuracy.json with its held-out accuracy."""
    return store.produce(
        name,
        "reward_model",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": sft, "preferences": preferences},
        make=lambda work: _train(work, sft, preferences, config, seed),
    )


def _train(work: Workspace, sft: Artifact, preferences: Artifact, config: RewardModelTraining, seed: int) -> None:
    rm = new_reward_model(load(sft.payload))
    training, held_out = _split(rm, preferences, config, seed)
    modules = torch.nn.ModuleDict({"trunk": rm.lm.model.model, "head": rm.head})
    optimizer = adamw(modules, config.optimisation)
    checkpoint, skipped = Checkpoint(work.scratch, modules, optimizer), SkippedSteps()
    batches = _batches(training, config, seed)
    done, _ = checkpoint.load()
    work.rewind(done)
    for step in range(done, len(batches)):
        started = time.monotonic()
        batch = batches[step]
        scores = rm.scores([ids for pair in batch for ids in pair]).view(-1, 2)
        loss = bradley_terry_loss(scores[:, 0], scores[:, 1]) / len(batch)
        loss.backward()
        norm = update(optimizer, learning_rate(step, len(batches), config.optimisation), config.optimisation.clip)
        skipped.see(norm)
        tokens = sum(len(ids) for pair in batch for ids in pair)
        work.log(
            step + 1,
            len(batches),
            loss=round(loss.item(), 4),
            accuracy=round(float((scores[:, 0] > scores[:, 1]).float().mean()), 4),
            grad_norm=round(norm, 4),
            tokens_per_second=round(tokens / (time.monotonic() - started)),
        )
        if (step + 1) % config.checkpoint_every == 0:
            checkpoint.save(step + 1)
    accuracy = _accuracy(rm, held_out)
    work.show(len(batches), len(batches), held_out_accuracy=round(accuracy, 3))
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out), "held_out_accuracy": accuracy}
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save_reward_model(rm, work.payload)


def _split(
    rm: RewardModel, preferences: Artifact, config: RewardModelTraining, seed: int
) -> tuple[list[Pair], list[Pair]]:
    """Training and held-out pairs; no prompt is in both."""
    rows = pq.read_table(preferences.payload / "pairs.parquet").to_pylist()
    prompts = sorted({row["prompt"] for row in rows})
    random.Random(seed).shuffle(prompts)
    reserved = set(prompts[: max(1, round(config.held_out * len(prompts)))])
    training, held_out = [], []
    for row in rows:
        chosen, rejected = (
            tokenize(rm.lm.tokenizer, conversation(row["prompt"], row[side])).ids for side in ("chosen", "rejected")
        )
        (held_out if row["prompt"] in reserved else training).append((chosen, rejected))
    if not training or not held_out:
        raise UserError(
            "a reward model needs pairs to train on and pairs of other prompts to be examined on",
            got=f"{len(rows)} pairs over {len(prompts)} prompts",
            remedy="sample more answers for the preference pairs, or add reviewed samples",
        )
    return training, held_out


def _batches(pairs: Sequence[Pair], config: RewardModelTraining, seed: int) -> list[list[Pair]]:
    batches = []
    for epoch in range(config.epochs):
        order = list(pairs)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        batches += [order[i : i + config.pairs_per_step] for i in range(0, len(order), config.pairs_per_step)]
    return batches


@torch.inference_mode()
def _accuracy(rm: RewardModel, pairs: Sequence[Pair]) -> float:
    """Share of pairs whose chosen answer scores higher; ties count as wrong."""
    right = 0
    for i in range(0, len(pairs), 16):
        scores = rm.scores([ids for pair in pairs[i : i + 16] for ids in pair]).view(-1, 2)
        right += int((scores[:, 0] > scores[:, 1]).sum())
    return right / len(pairs)
