"""KTO (arXiv 2402.01306), a comparison beside GRPO: single answers that are good or bad, against a reference point.

Both answers of a preference pair are taken, as a desirable and an undesirable one. As in the paper, the reference point
is what the policy gained over the reference on answers that belong to other prompts: here those of the next pair with
another prompt, fixed by the data, so that the reference's share of it is made once. It is a mean over the step.
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
from afterbase.train.losses.preference import kto_kl, kto_loss
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


class Kto(Config):
    """One run over the answers of the preference pairs."""

    epochs: int = Field(ge=1)
    pairs_per_step: int = Field(ge=1)
    """Pairs whose two answers make a step."""
    beta: float = Field(default=0.1, gt=0)
    desirable_weight: float = Field(default=1.0, gt=0)
    undesirable_weight: float = Field(default=1.0, gt=0)
    held_out: float = Field(gt=0, lt=1)
    """Share of the prompts whose answers are kept for the accuracy."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of both answers of all pairs that are read at once."""
    optimisation: Optimisation
    checkpoint_every: int = Field(default=50, ge=1)


def train_kto(
    store: Store, name: str, model: Artifact, preferences: Artifact, reference: Artifact, config: Kto, *, seed: int
) -> Artifact:
    """A model folder, and accuracy.json: how many held-out pairs the implicit rewards rank right.

    `reference` is what `make_reference_logps` made of the same model and pairs.
    """
    return store.produce(
        name,
        "kto",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": model, "preferences": preferences, "reference": reference},
        make=lambda work: _train(work, model, preferences, reference, config, seed),
    )


def _train(
    work: Workspace, model: Artifact, preferences: Artifact, reference: Artifact, config: Kto, seed: int
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
        loss, kl = accumulate(lm, steps[step], reference_N4, config)
        rate = learning_rate(step, len(steps), config.optimisation)
        norm = update(optimizer, rate, config.optimisation.clip)
        skipped.see(norm)
        tokens = sum(len(answer.ids) for pair in steps[step] for answer in pair.answers)
        work.log(
            step + 1,
            len(steps),
            loss=round(loss, 4),
            kl=round(kl, 4),
            grad_norm=round(norm, 4),
            learning_rate=rate,
            tokens_per_second=round(tokens / (time.monotonic() - started)),
        )
        if (step + 1) % config.checkpoint_every == 0:
            checkpoint.save(step + 1)
    with torch.inference_mode():
        rows = in_rows(held_out, config.row_tokens)
        gains = torch.cat([_gains(lm, row, reference_N4) for row in rows])
    accuracy = float((gains[:, 0] > gains[:, 1]).float().mean())
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out), "held_out_accuracy": accuracy}
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save(lm, work.payload)


def accumulate(lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor, config: Kto) -> tuple[float, float]:
    """Gradients of the mean loss over the pairs' answers, whatever the rows; the loss and the reference point."""
    rows = list(in_rows(pairs, config.row_tokens))
    with torch.no_grad():
        others = [answer_logps(lm, [answer for pair in row for answer in pair.others]) for row in rows]
    kl = kto_kl(torch.cat(others), reference_N4[[pair.row for pair in pairs], 2:].flatten())
    desirable_2 = torch.tensor([True, False])
    weights_2 = torch.tensor([config.desirable_weight, config.undesirable_weight])
    loss = 0.0
    for row in rows:
        logps = answer_logps(lm, [answer for pair in row for answer in pair.answers])
        reference = reference_N4[[pair.row for pair in row], :2].flatten()
        desirable, weights = desirable_2.repeat(len(row)), weights_2.to(logps.dtype).repeat(len(row))
        part = kto_loss(logps, reference, desirable, weights, kl, beta=config.beta) / (2 * len(pairs))
        part.backward()
        loss += part.item()
    return loss, kl.item()


def _gains(lm: LanguageModel, row: Sequence[Pair], reference_N4: Tensor) -> Tensor:
    """(pairs, 2): log(pi / pi_ref) of the chosen and the rejected answer."""
    logps = answer_logps(lm, [answer for pair in row for answer in pair.answers]).view(-1, 2)
    return logps - reference_N4[[pair.row for pair in row], :2]
