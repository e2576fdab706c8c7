"""The scalar reward model (V3 report section 5.2.1): trained from the SFT checkpoint on preference pairs.

The report's model also writes the chain of thought that leads to its reward: that one is made by
`train/preference/generative_reward_model.py`. Here it learns from answers without their thoughts, which is what it will
be asked about. A share of the prompts is held out; accuracy on their pairs is reported with the model, and how sure it
is of them, which should be the same number.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.config import what
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.model.load import load
from afterbase.model.parallel import Forward, backward, direct
from afterbase.reward.scalar import RewardModel, new_reward_model, save_reward_model
from afterbase.reward.shown_pairs import answered_pairs
from afterbase.train.loop import TrainingLoop, prepare
from afterbase.train.preference.config import RewardModelTraining
from afterbase.train.preference.losses import bradley_terry_loss
from afterbase.train.preference.preference_pairs import (
    Pair,
    batches,
    count_left_out,
    count_tokens,
    describe,
    in_rows,
    read_pairs,
    split_pairs,
)

VERSION = 7


def train_reward_model(
    store: Store, name: str, sft: Artifact, preferences: Artifact, config: RewardModelTraining, *, seed: int
) -> Artifact:
    """A reward model folder, and accuracy.json with its held-out accuracy.

    >>> config = RewardModelTraining(
    ...     epochs=1, pairs_per_step=16, held_out=0.25, optimisation={"learning_rate": 1e-4, "floor": 1e-5}
    ... )
    >>> reward = train_reward_model(store, "reward model", sft, pairs, config, seed=0)
    >>> (reward.payload / "accuracy.json").exists()
    True
    """
    return store.produce(
        name,
        "reward_model",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": sft, "preferences": preferences},
        make=lambda work: _train(work, sft, preferences, config, seed),
        together=True,
    )


def _train(work: Workspace, sft: Artifact, preferences: Artifact, config: RewardModelTraining, seed: int) -> None:
    rm = new_reward_model(load(sft.payload))
    pairs = read_pairs(rm.lm, preferences, thoughts=False)
    training, held_out = split_pairs(pairs, held_out=config.held_out, seed=seed)
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    modules = rm.modules()
    forward = prepare(rm.lm.model, modules, config)

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save_reward_model(rm, folder, state=state)

    with TrainingLoop(work, config, modules, modules, len(steps), export=export) as loop:
        for step in loop:
            loss, accuracy = accumulate(rm, steps[step], config.row_tokens, forward)
            numbers = {"loss": round(loss, 4), "accuracy": round(accuracy, 4), "tokens": count_tokens(steps[step])}
            loop.update(numbers, describe(steps[step]))
            if loop.exports:
                loop.score(measure_ranking(rm, held_out, config.row_tokens, forward)["held_out_loss"])
    report = {"training_pairs": len(training), "held_out_pairs": len(held_out)}
    _, report["unanswered"] = answered_pairs(preferences)
    report["too_long"] = count_left_out(preferences, pairs) - report["unanswered"]
    report |= measure_ranking(rm, held_out, config.row_tokens, forward)
    work.show(len(steps), len(steps), held_out_accuracy=round(report["held_out_accuracy"], 3))
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    save_reward_model(rm, work.payload)


def accumulate(
    rm: RewardModel, pairs: Sequence[Pair], row_tokens: int, forward: Forward = direct
) -> tuple[float, float]:
    """Gradients of the mean loss over the pairs, whatever the rows; the loss, and the share that is ranked right.

    Of several ranks each takes a share of the rows; losses and gradients are those of all.
    """
    loss = right = 0.0
    for row, weight in ranks.share(list(in_rows(pairs, row_tokens))):
        scores = forward(lambda row=row: _scores(rm, row))
        part = weight * bradley_terry_loss(scores[:, 0], scores[:, 1], _margins(row, scores)) / len(pairs)
        loss += backward(part)
        right += weight * int((scores[:, 0] > scores[:, 1]).sum())
    loss, right = ranks.totals(loss, right)
    return loss, right / len(pairs)


@torch.no_grad()
def measure_ranking(
    rm: RewardModel, pairs: Sequence[Pair], row_tokens: int, forward: Forward = direct
) -> dict[str, float]:
    """Accuracy (ties are wrong), mean loss, and mean confidence: the probability it gives to the side it prefers.

    A calibrated model is right as often as it is confident.
    """
    scores = torch.cat([forward(lambda row=row: _scores(rm, row)) for row in in_rows(pairs, row_tokens)])
    differences = scores[:, 0] - scores[:, 1]
    return {
        "held_out_accuracy": float((differences > 0).float().mean()),
        "held_out_confidence": float(differences.abs().sigmoid().mean()),
        "held_out_loss": float(bradley_terry_loss(scores[:, 0], scores[:, 1], _margins(pairs, scores))) / len(pairs),
    }


def _scores(rm: RewardModel, pairs: Sequence[Pair]) -> Tensor:
    """(pairs, 2): the chosen and the rejected answer's score."""
    return rm.scores([answer.ids for pair in pairs for answer in pair.answers]).view(-1, 2)


def _margins(pairs: Sequence[Pair], scores: Tensor) -> Tensor:
    return scores.new_tensor([pair.margin for pair in pairs])
