"""The scalar reward model (V3 report section 5.2.1): trained from the SFT checkpoint on preference pairs.

Ours is scalar: the report's model also writes the chain of thought that leads to its reward; that part is not covered
here. A share of the prompts is held out; accuracy on their pairs is reported with the model, and how sure it is of
them, which should be the same number.
"""

import json
import time
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from afterbase.core.config import Config, what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.model.load import load
from afterbase.reward.scalar import RewardModel, new_reward_model, save_reward_model
from afterbase.train.losses.preference import bradley_terry_loss
from afterbase.train.optimise import Checkpoint, Optimisation, SkippedSteps, adamw, learning_rate, update
from afterbase.train.pairs import Pair, batches, in_rows, read_pairs, split_pairs

VERSION = 3


class RewardModelTraining(Config):
    """One run over the preference pairs."""

    epochs: int = Field(ge=1)
    pairs_per_step: int = Field(ge=1)
    held_out: float = Field(gt=0, lt=1)
    """Share of the prompts whose pairs are kept for the accuracy."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of both answers of all pairs that are read at once."""
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
    pairs = read_pairs(rm.lm.tokenizer, preferences)
    training, held_out = split_pairs(pairs, held_out=config.held_out, seed=seed)
    modules = torch.nn.ModuleDict({"trunk": rm.lm.model.base_model, "head": rm.head})
    optimizer = adamw(modules, config.optimisation)
    checkpoint, skipped = Checkpoint(work.scratch, modules, optimizer), SkippedSteps()
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    done, _ = checkpoint.load()
    work.rewind(done)
    for step in range(done, len(steps)):
        started = time.monotonic()
        batch = steps[step]
        loss, differences = accumulate(rm, batch, config.row_tokens)
        norm = update(optimizer, learning_rate(step, len(steps), config.optimisation), config.optimisation.clip)
        skipped.see(norm)
        tokens = sum(len(answer.ids) for pair in batch for answer in pair.answers)
        work.log(
            step + 1,
            len(steps),
            loss=round(loss, 4),
            accuracy=round(float((differences > 0).float().mean()), 4),
            grad_norm=round(norm, 4),
            tokens_per_second=round(tokens / (time.monotonic() - started)),
        )
        if (step + 1) % config.checkpoint_every == 0:
            checkpoint.save(step + 1)
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out)}
    report |= examine(rm, held_out, config.row_tokens)
    work.show(len(steps), len(steps), held_out_accuracy=round(report["held_out_accuracy"], 3))
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save_reward_model(rm, work.payload)


def accumulate(rm: RewardModel, pairs: Sequence[Pair], row_tokens: int) -> tuple[float, Tensor]:
    """Gradients of the mean loss over the pairs, whatever the rows; the loss and each pair's difference of scores."""
    loss, differences = 0.0, []
    for row in in_rows(pairs, row_tokens):
        scores = _scores(rm, row)
        part = bradley_terry_loss(scores[:, 0], scores[:, 1]) / len(pairs)
        part.backward()
        loss += part.item()
        differences.append((scores[:, 0] - scores[:, 1]).detach())
    return loss, torch.cat(differences)


@torch.inference_mode()
def examine(rm: RewardModel, pairs: Sequence[Pair], row_tokens: int) -> dict[str, float]:
    """Accuracy (ties are wrong), mean loss, and mean confidence: the probability it gives to the side it prefers.

    A calibrated model is right as often as it is confident.
    """
    scores = torch.cat([_scores(rm, row) for row in in_rows(pairs, row_tokens)])
    differences = scores[:, 0] - scores[:, 1]
    return {
        "held_out_accuracy": float((differences > 0).float().mean()),
        "held_out_confidence": float(differences.abs().sigmoid().mean()),
        "held_out_loss": float(bradley_terry_loss(scores[:, 0], scores[:, 1])) / len(pairs),
    }


def _scores(rm: RewardModel, pairs: Sequence[Pair]) -> Tensor:
    """(pairs, 2): the chosen and the rejected answer's score."""
    return rm.scores([answer.ids for pair in pairs for answer in pair.answers]).view(-1, 2)
