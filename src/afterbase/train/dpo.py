"""Direct preference optimisation (arXiv 2305.18290), a comparison beside GRPO: pairs, no reward model, no sampling.

The same pairs, masks and normaliser (pairs of a step) as the reward model's. The reference is the starting model, whose
log-probabilities are made once. Not covered: label smoothing, other losses than the sigmoid, and training on the chosen
answer's likelihood beside it.
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
from afterbase.train.losses.preference import dpo_loss, dpo_margins
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


class Dpo(Training):
    """One run over the preference pairs."""

    epochs: int = Field(ge=1)
    pairs_per_step: int = Field(ge=1)
    beta: float = Field(default=0.1, gt=0)
    """How dear it is to leave the reference: rewards are beta log(pi / pi_ref)."""
    held_out: float = Field(gt=0, lt=1)
    """Share of the prompts whose pairs are kept for the accuracy."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of both answers of all pairs that are read at once."""


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
        together=True,
    )


def _train(
    work: Workspace, model: Artifact, preferences: Artifact, reference: Artifact, config: Dpo, seed: int
) -> None:
    lm = load(model.payload)
    reference_N4 = read_reference_logps(reference)
    training, held_out = split_pairs(read_pairs(lm.tokenizer, preferences), held_out=config.held_out, seed=seed)
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    modules = lm.modules()
    forward = prepare(lm.model, modules, config)

    def compute(step: int) -> dict[str, float]:
        numbers = accumulate(lm, steps[step], reference_N4, config, forward)
        return {**{name: round(n, 4) for name, n in numbers.items()}, "tokens": count_tokens(steps[step])}

    def examined() -> Tensor:
        rows = in_rows(held_out, config.row_tokens)
        with torch.no_grad():
            return torch.cat([forward(lambda row=row: _margins(lm, row, reference_N4, config.beta)) for row in rows])

    train(
        work,
        config,
        modules,
        lm.model,  # the MTP module is a draft: preferences leave it alone
        len(steps),
        compute,
        batch=lambda step: describe(steps[step]),
        export=lambda folder, state: save(lm, folder, state=state),
        score=lambda: dpo_loss(examined()).item() / len(held_out),
    )
    accuracy = float((examined() > 0).float().mean())
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out), "held_out_accuracy": accuracy}
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save(lm, work.payload)


def accumulate(
    lm: LanguageModel, pairs: Sequence[Pair], reference_N4: Tensor, config: Dpo, forward: Forward = direct
) -> dict[str, float]:
    """Gradients of the mean loss over the pairs, whatever the rows; loss, accuracy and mean margin.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    loss = right = margin = 0.0
    for row, weight in ranks.share(list(in_rows(pairs, config.row_tokens))):
        margins = forward(lambda row=row: _margins(lm, row, reference_N4, config.beta))
        part = weight * dpo_loss(margins) / len(pairs)
        (part * ranks.size()).backward()
        loss += part.item()
        right += weight * int((margins > 0).sum())
        margin += weight * margins.sum().item()
    loss, right, margin = ranks.totals(loss, right, margin)
    return {"loss": loss, "accuracy": right / len(pairs), "margin": margin / len(pairs)}


def _margins(lm: LanguageModel, row: Sequence[Pair], reference_N4: Tensor, beta: float) -> Tensor:
    chosen, rejected = answer_logps(lm, [answer for pair in row for answer in pair.answers]).view(-1, 2).unbind(1)
    reference = reference_N4[[pair.row for pair in row]].to(lm.device)
    return dpo_margins(chosen, rejected, reference[:, 0], reference[:, 1], beta=beta)
