"""Direct preference optimisation (arXiv 2305.18290), a comparison beside GRPO: pairs, no reward model, no sampling.

The same pairs, masks and normaliser (pairs of a step) as the reward model's. The reference is the starting model, whose
log-probabilities are made once. Not covered: label smoothing, other losses than the sigmoid, and training on the chosen
answer's likelihood beside it.
"""

import json
import time
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from afterbase.core.config import Config, what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.model.load import LanguageModel, load, save
from afterbase.train.losses.preference import dpo_loss, dpo_margins
from afterbase.train.optimise import Checkpoint, Optimisation, SkippedSteps, adamw, learning_rate, update
from afterbase.train.pairs import (
    Pair,
    answer_logps,
    batches,
    in_rows,
    read_pairs,
    read_reference_logps,
    split_pairs,
)

VERSION = 1


class Dpo(Config):
    """One run over the preference pairs."""

    epochs: int = Field(ge=1)
    pairs_per_step: int = Field(ge=1)
    beta: float = Field(default=0.1, gt=0)
    """How dear it is to leave the reference: rewards are beta log(pi / pi_ref)."""
    held_out: float = Field(gt=0, lt=1)
    """Share of the prompts whose pairs are kept for the accuracy."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of both answers of all pairs that are read at once."""
    optimisation: Optimisation
    checkpoint_every: int = Field(default=50, ge=1)


def train_dpo(
    store: Store, name: str, model: Artifact, preferences: Artifact, reference: Artifact, config: Dpo, *, seed: int
) -> Artifact:
    """A model folder, and accuracy.json: how many held-out pairs the implicit rewards rank right.

    `reference` is what `make_reference_logps` made of the same model and pairs.
    """
    return store.produce(
        name,
        "dpo",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": model, "preferences": preferences, "reference": reference},
        make=lambda work: _train(work, model, preferences, reference, config, seed),
    )


def _train(
    work: Workspace, model: Artifact, preferences: Artifact, reference: Artifact, config: Dpo, seed: int
) -> None:
    lm = load(model.payload)
    reference_N4 = read_reference_logps(reference)
    training, held_out = split_pairs(read_pairs(lm.tokenizer, preferences), held_out=config.held_out, seed=seed)
    optimizer = adamw(lm.model, config.optimisation)  # the MTP module is a draft: preferences leave it alone
    checkpoint, skipped = Checkpoint(work.scratch, lm.modules(), optimizer), SkippedSteps()
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    done, _ = checkpoint.load()
    work.rewind(done)
    for step in range(done, len(steps)):
        started = time.monotonic()
        loss, margins = accumulate(lm, steps[step], reference_N4, config)
        rate = learning_rate(step, len(steps), config.optimisation)
        norm = update(optimizer, rate, config.optimisation.clip)
        skipped.see(norm)
        tokens = sum(len(answer.ids) for pair in steps[step] for answer in pair.answers)
        work.log(
            step + 1,
            len(steps),
            loss=round(loss, 4),
            accuracy=round(float((margins > 0).float().mean()), 4),
            margin=round(float(margins.mean()), 4),
            grad_norm=round(norm, 4),
            learning_rate=rate,
            tokens_per_second=round(tokens / (time.monotonic() - started)),
        )
        if (step + 1) % config.checkpoint_every == 0:
            checkpoint.save(step + 1)
    with torch.inference_mode():
        rows = in_rows(held_out, config.row_tokens)
        examined = torch.cat([_margins(lm, row, reference_N4, config.beta) for row in rows])
    accuracy = float((examined > 0).float().mean())
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out), "held_out_accuracy": accuracy}
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save(lm, work.payload)


def accumulate(lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor, config: Dpo) -> tuple[float, Tensor]:
    """Gradients of the mean loss over the pairs, whatever the rows; the loss and each pair's margin."""
    loss, seen = 0.0, []
    for row in in_rows(pairs, config.row_tokens):
        margins = _margins(lm, row, reference_N4, config.beta)
        part = dpo_loss(margins) / len(pairs)
        part.backward()
        loss += part.item()
        seen.append(margins.detach())
    return loss, torch.cat(seen)


def _margins(lm: LanguageModel, row: Sequence[Pair], reference_N4: Tensor, beta: float) -> Tensor:
    chosen, rejected = answer_logps(lm, [answer for pair in row for answer in pair.answers]).view(-1, 2).unbind(1)
    reference = reference_N4[[pair.row for pair in row]]
    return dpo_margins(chosen, rejected, reference[:, 0], reference[:, 1], beta=beta)
