"""The scalar reward model (V3 report section 5.2.1): trained from the SFT checkpoint on preference pairs.

The report's model also writes the chain of thought that leads to its reward: that one is made by
`train/preference/generative_reward_model.py`. Here it learns from answers without their thoughts, which is what it will
be asked about. A share of the prompts is held out; accuracy on their pairs is reported with the model, and how sure it
is of them, which should be the same number.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from torch import Tensor

from afterbase.core import distributed as ranks
from afterbase.core.config import what
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.own.row_lengths import expected_tokens
from afterbase.model.load import LanguageModel, load
from afterbase.model.parallel import Forward, backward, direct, whole_state
from afterbase.reward.scalar import RewardModel, new_reward_model, save_reward_model
from afterbase.train.loop import TrainingLoop, growth, prepare
from afterbase.train.lora import add_lora, merged, save_adapter
from afterbase.train.preference.config import RewardModelTraining
from afterbase.train.preference.losses import bradley_terry_loss
from afterbase.train.preference.preference_pairs import (
    Pair,
    batches,
    count_tokens,
    describe,
    in_rows,
    read_pairs,
    split_pairs,
)

VERSION = 9


def train_reward_model(
    store: Store,
    name: str,
    sft: Artifact,
    preferences: Artifact,
    config: RewardModelTraining,
    *,
    seed: int,
    held_out: Artifact | None = None,
) -> Artifact:
    """A reward model folder, and accuracy.json: its accuracy on held-out pairs, and which pairs were left out and why.

    Those of `held_out`, or, without it, a share of `preferences`. With `lora` the additions stand beside the merged
    weights, in `adapter/`.

    >>> config = RewardModelTraining(pairs_per_step=16, optimisation={"learning_rate": 1e-4})
    >>> reward = train_reward_model(store, "reward model", sft, pairs, config, seed=0)
    >>> (reward.payload / "accuracy.json").exists()
    True
    """
    store = store.growing(growth("epochs", config))
    return store.produce(
        name,
        "reward_model",
        VERSION,
        what={**what(config), "seed": seed},
        inputs={"model": sft, "preferences": preferences} | ({} if held_out is None else {"held_out": held_out}),
        make=lambda work: _train(work, sft, (preferences, held_out), config, seed),
        cost=Cost(trained=config.epochs * expected_tokens(preferences)),
        together=True,
    )


def _train(
    work: Workspace, sft: Artifact, rows: tuple[Artifact, Artifact | None], config: RewardModelTraining, seed: int
) -> None:
    lm = load(sft.payload)
    training, held_out, report = _read(lm, rows, config, seed)
    steps = batches(training, config.pairs_per_step, epochs=config.epochs, seed=seed)
    if config.lora is not None:
        add_lora(lm, config.lora, seed=seed)
    rm = new_reward_model(lm)
    modules = rm.modules()
    forward = prepare(rm.lm.model, modules, config)

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save_reward_model(rm, folder, state=merged(state, config.lora))

    shown = ("loss", "accuracy", "held_out_accuracy")
    with TrainingLoop(work, config, modules, modules, len(steps), export=export, shown=shown) as loop:
        for step in loop:
            loss, accuracy = accumulate(rm, steps[step], config.row_tokens, forward)
            numbers = {"loss": round(loss, 4), "accuracy": round(accuracy, 4), "tokens": count_tokens(steps[step])}
            loop.update(numbers, describe(steps[step]))
            if loop.evaluates:
                found = measure_ranking(rm, held_out, config.row_tokens, forward)
                loop.score(found["held_out_loss"], **found)
    found = measure_ranking(rm, held_out, config.row_tokens, forward)
    report |= {"training_pairs": len(training), "held_out_pairs": len(held_out), **found}
    if by_domain := _by_domain(rm, held_out, rows, config.row_tokens, forward):
        report["by_domain"] = by_domain
    work.show(len(steps), len(steps), held_out_accuracy=round(found["held_out_accuracy"], 3))
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    state = whole_state(modules)
    save_reward_model(rm, work.payload, state=merged(state, config.lora))
    save_adapter(lm, work.payload, state, config.lora)


def _read(
    lm: LanguageModel, rows: tuple[Artifact, Artifact | None], config: RewardModelTraining, seed: int
) -> tuple[list[Pair], list[Pair], dict[str, Any]]:
    """Pairs to train on, held-out ones, and what was left out."""
    read = read_pairs(lm, rows[0], thoughts=False, others=False)
    if rows[1] is None:
        return *split_pairs(read.kept, held_out=config.held_out, seed=seed), read.report()
    held_out = read_pairs(lm, rows[1], thoughts=False, others=False)
    return read.kept, held_out.kept, {**read.report(), "held_out_dropped": held_out.dropped}


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


def _by_domain(
    rm: RewardModel, pairs: Sequence[Pair], rows: tuple[Artifact, Artifact | None], row_tokens: int, forward: Forward
) -> dict[str, dict[str, float]]:
    """Of each domain's held-out pairs their number and the share that is ranked right, where pairs name a domain."""
    table = pq.read_table((rows[1] or rows[0]).payload / "pairs.parquet")
    if "domain" not in table.column_names:
        return {}
    domains = table["domain"].to_pylist()
    of: dict[str, list[Pair]] = {}
    for pair in pairs:
        of.setdefault(domains[pair.row], []).append(pair)
    return {
        name: {
            "held_out_pairs": len(own),
            "held_out_accuracy": measure_ranking(rm, own, row_tokens, forward)["held_out_accuracy"],
        }
        for name, own in sorted(of.items())
    }


def _scores(rm: RewardModel, pairs: Sequence[Pair]) -> Tensor:
    """(pairs, 2): the chosen and the rejected answer's score."""
    return rm.scores([answer.ids for pair in pairs for answer in pair.answers]).view(-1, 2)


def _margins(pairs: Sequence[Pair], scores: Tensor) -> Tensor:
    return scores.new_tensor([pair.margin for pair in pairs])
