"""KTO (arXiv 2402.01306), a comparison beside GRPO: single answers that are good or bad, against a reference point.

Both answers of a preference pair are taken, as a desirable and an undesirable one. As in the paper, the reference point
is what the policy gained over the reference on answers that belong to other prompts: here those of the next pair with
another prompt, fixed by the data, so that the reference's share of it is made once. It is a mean over the step.
"""

import json
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from afterbase.core import ranks
from afterbase.core.config import what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import Forward, direct
from afterbase.train.loop import Training, prepare, train
from afterbase.train.losses.preference import kto_kl, kto_loss
from afterbase.train.pairs import (
    Pair,
    answer_logps,
    batches,
    count_tokens,
    describe,
    in_rows,
    read_pairs,
    read_reference_logps,
    split_pairs,
)

VERSION = 2


class Kto(Training):
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
        together=True,
    )


def _train(
    work: Workspace, model: Artifact, preferences: Artifact, reference: Artifact, config: Kto, seed: int
) -> None:
    lm = load(model.payload)
    reference_N4 = read_reference_logps(reference)
    training, held_out = split_pairs(read_pairs(lm.tokenizer, preferences), held_out=config.held_out, seed=seed)
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    modules = lm.modules()
    forward = prepare(lm.model, modules, config)

    def compute(step: int) -> dict[str, float]:
        loss, kl = accumulate(lm, steps[step], reference_N4, config, forward)
        return {"loss": round(loss, 4), "kl": round(kl, 4), "tokens": count_tokens(steps[step])}

    train(
        work,
        config,
        modules,
        lm.model,  # the MTP module is a draft: preferences leave it alone
        len(steps),
        compute,
        batch=lambda step: describe(steps[step]),
        export=lambda folder, state: save(lm, folder, state=state),
    )
    with torch.no_grad():
        rows = in_rows(held_out, config.row_tokens)
        gains = torch.cat([forward(lambda row=row: _gains(lm, row, reference_N4)) for row in rows])
    accuracy = float((gains[:, 0] > gains[:, 1]).float().mean())
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out), "held_out_accuracy": accuracy}
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save(lm, work.payload)


def accumulate(
    lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor, config: Kto, forward: Forward = direct
) -> tuple[float, float]:
    """Gradients of the mean loss over the pairs' answers, whatever the rows; the loss and the reference point.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    shares = ranks.share(list(in_rows(pairs, config.row_tokens)))
    kl = _reference_point(lm, shares, reference_N4, 2 * len(pairs), forward)
    desirable_2 = torch.tensor([True, False], device=lm.device)
    weights_2 = torch.tensor([config.desirable_weight, config.undesirable_weight], device=lm.device)
    loss = 0.0
    for row, weight in shares:
        gains = forward(lambda row=row: _gains(lm, row, reference_N4)).flatten()
        desirable, weights = desirable_2.repeat(len(row)), weights_2.to(gains.dtype).repeat(len(row))
        part = weight * kto_loss(gains, desirable, weights, kl, beta=config.beta) / (2 * len(pairs))
        (part * ranks.size()).backward()
        loss += part.item()
    return ranks.totals(loss)[0], kl


@torch.no_grad()
def _reference_point(
    lm: LanguageModel,
    shares: Sequence[tuple[list[Pair], float]],
    reference_N4: Tensor,
    count: int,
    forward: Forward,
) -> float:
    gains = 0.0
    for row, weight in shares:
        logps = forward(lambda row=row: answer_logps(lm, [answer for pair in row for answer in pair.others]))
        reference = reference_N4[[pair.row for pair in row], 2:].flatten().to(lm.device)
        gains += weight * (logps - reference).sum().item()
    return kto_kl(ranks.totals(gains)[0], count)


def _gains(lm: LanguageModel, row: Sequence[Pair], reference_N4: Tensor) -> Tensor:
    """(pairs, 2): log(pi / pi_ref) of the chosen and the rejected answer."""
    logps = answer_logps(lm, [answer for pair in row for answer in pair.answers]).view(-1, 2)
    return logps - reference_N4[[pair.row for pair in row], :2].to(lm.device)
