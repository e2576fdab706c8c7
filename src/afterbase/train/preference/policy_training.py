"""Training a policy on preference pairs without sampling: what DPO and KTO have in common.

The pairs, masks and batches are the reward model's. The reference is the starting model, whose log-probabilities are
made once. An answer's *gain* is log(pi / pi_ref), summed over its tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from afterbase.core.config import what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import Forward
from afterbase.train.loop import TrainingLoop, prepare
from afterbase.train.preference.config import PreferenceTraining
from afterbase.train.preference.losses import dpo_loss
from afterbase.train.preference.preference_pairs import (
    Pair,
    answer_logps,
    batches,
    count_left_out,
    count_tokens,
    describe,
    in_rows,
    read_pairs,
    read_reference_logps,
    split_pairs,
)

VERSION = 5


Accumulate = Callable[[LanguageModel, Sequence[Pair], Tensor, Any, Forward], dict[str, float]]
"""Gradients of a step's pairs against the reference's log-probabilities (all pairs, 4); returns what was measured."""


def train_on_preferences(
    store: Store,
    name: str,
    stage: str,
    inputs: tuple[Artifact, Artifact, Artifact],
    config: PreferenceTraining,
    accumulate: Accumulate,
    *,
    seed: int,
) -> Artifact:
    """A model folder, and accuracy.json: how many held-out pairs the implicit rewards rank right.

    `inputs`: the model, the pairs, and what `make_reference_logps` made of both.
    """
    return store.produce(
        name,
        stage,
        VERSION,
        what={**what(config), "seed": seed},
        inputs=dict(zip(("model", "preferences", "reference"), inputs, strict=True)),
        make=lambda work: _train(work, inputs, config, accumulate, seed),
        together=True,
    )


def _train(
    work: Workspace,
    inputs: tuple[Artifact, Artifact, Artifact],
    config: PreferenceTraining,
    accumulate: Accumulate,
    seed: int,
) -> None:
    model, preferences, reference = inputs
    lm = load(model.payload)
    reference_N4 = read_reference_logps(reference)
    pairs = read_pairs(lm, preferences)
    training, held_out = split_pairs(pairs, held_out=config.held_out, seed=seed)
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    modules = lm.modules()
    forward = prepare(lm.model, modules, config)

    def margins() -> Tensor:
        with torch.no_grad():
            rows = in_rows(held_out, config.row_tokens)
            found = torch.cat([forward(lambda row=row: gains(lm, row, reference_N4)) for row in rows])
        return config.beta * (found[:, 0] - found[:, 1])

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save(lm, folder, state=state)

    # Of the modules the model alone: the MTP module is a draft, and preferences leave it alone.
    with TrainingLoop(work, config, modules, lm.model, len(steps), export=export) as loop:
        for step in loop:
            numbers = accumulate(lm, steps[step], reference_N4, config, forward)
            numbers = {**{name: round(n, 4) for name, n in numbers.items()}, "tokens": count_tokens(steps[step])}
            loop.update(numbers, describe(steps[step]))
            if loop.exports:
                loop.score(dpo_loss(margins()).item() / len(held_out))
    accuracy = float((margins() > 0).float().mean())
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out), "held_out_accuracy": accuracy}
    report["too_long"] = count_left_out(preferences, pairs)
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save(lm, work.payload)


def gains(lm: LanguageModel, row: Sequence[Pair], reference_N4: Tensor) -> Tensor:
    """(pairs, 2): log(pi / pi_ref) of the chosen and the rejected answer."""
    logps = answer_logps(lm, [answer for pair in row for answer in pair.answers]).view(-1, 2)
    return logps - reference_N4[[pair.row for pair in row], :2].to(lm.device)
