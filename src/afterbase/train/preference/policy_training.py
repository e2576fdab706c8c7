"""Training a policy on preferences without sampling: what DPO and KTO have in common.

The pairs, masks and batches are the reward model's. The reference is the starting model, whose log-probabilities are
made once. An answer's *gain* is log(pi / pi_ref), summed over its tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from afterbase.core.config import what
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.own.row_lengths import expected_tokens
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import Forward, whole_state
from afterbase.train.loop import TrainingLoop, growth, prepare
from afterbase.train.lora import add_lora, merged, save_adapter
from afterbase.train.preference.config import PairTraining
from afterbase.train.preference.preference_pairs import (
    Example,
    batches,
    count_tokens,
    describe,
    read_examples,
    read_reference_logps,
    split_pairs,
)

VERSION = 7

Step = Callable[[LanguageModel, Sequence[Any], Tensor | None, Any, Forward], dict[str, float]]
Rows = tuple[tuple[Artifact, Artifact | None], tuple[Artifact | None, Artifact | None]]
"""Rows to train on and held-out ones, which may be none; what `make_reference_logps` made of each, where it is used."""


@dataclass(frozen=True)
class Method:
    """One way to learn from preferences, the name of its stage first.

    `accumulate` leaves the gradients of a step's examples, given the reference's log-probabilities (rows, 4), and
    returns what was measured; `measure` gives `loss` and `accuracy` without them. `others`: it reads other answers.
    """

    stage: str
    accumulate: Step
    measure: Step
    others: bool


def train_on_preferences(
    store: Store, name: str, method: Method, model: Artifact, rows: Rows, config: PairTraining, *, seed: int
) -> Artifact:
    """A model folder, and accuracy.json: loss and accuracy on held-out rows, and which rows were left out and why.

    Those of `rows`, or, where it has none, a share of its rows. With `lora` the additions stand beside the merged
    weights, in `adapter/`.
    """
    (preferences, held_out), (reference, held_out_reference) = rows
    inputs = {
        "model": model,
        "preferences": preferences,
        "reference": reference,
        "held_out": held_out,
        "held_out_reference": held_out_reference,
    }
    store = store.growing(growth("epochs", config))
    return store.produce(
        name,
        method.stage,
        VERSION,
        what={**what(config), "seed": seed},
        inputs={name: made for name, made in inputs.items() if made is not None},
        make=lambda work: _train(work, method, model, rows, config, seed),
        cost=Cost(trained=config.epochs * expected_tokens(preferences)),
        together=True,
    )


@dataclass(frozen=True)
class _Data:
    training: list[Example]
    held_out: list[Example]
    reference: Tensor | None
    held_out_reference: Tensor | None
    report: dict[str, Any]


def _read(lm: LanguageModel, method: Method, rows: Rows, config: PairTraining, seed: int) -> _Data:
    (preferences, held_out), references = rows
    reference, apart = (None if made is None else read_reference_logps(made) for made in references)
    read = read_examples(lm, preferences, others=method.others)
    if held_out is None:
        training, examined = split_pairs(read.kept, held_out=config.held_out, seed=seed)
        return _Data(training, examined, reference, reference, read.report())
    examined = read_examples(lm, held_out, others=method.others)
    report = {**read.report(), "held_out_dropped": examined.dropped}
    return _Data(read.kept, examined.kept, reference, apart, report)


def _train(work: Workspace, method: Method, model: Artifact, rows: Rows, config: PairTraining, seed: int) -> None:
    lm = load(model.payload)
    data = _read(lm, method, rows, config, seed)
    alone = any(len(example.answers) == 1 for example in data.training)
    size = 2 * config.pairs_per_step if alone else config.pairs_per_step
    steps = batches(data.training, size, epochs=config.epochs, seed=seed)
    if config.lora is not None:
        add_lora(lm, config.lora, seed=seed)
    modules = lm.modules()
    forward = prepare(lm.model, modules, config)

    def measured() -> dict[str, float]:
        numbers = method.measure(lm, data.held_out, data.held_out_reference, config, forward)
        return {f"held_out_{name}": numbers[name] for name in ("loss", "accuracy")}

    def export(folder: Path, state: Mapping[str, Tensor]) -> None:
        save(lm, folder, state=merged(state, config.lora))

    # Of the modules the model alone: the MTP module is a draft, and preferences leave it alone.
    shown = ("loss", "accuracy", "kl", "held_out_accuracy", "held_out_loss")
    with TrainingLoop(work, config, modules, lm.model, len(steps), export=export, shown=shown) as loop:
        for step in loop:
            numbers = method.accumulate(lm, steps[step], data.reference, config, forward)
            numbers = {**{name: round(n, 6) for name, n in numbers.items()}, "tokens": count_tokens(steps[step])}
            loop.update(numbers, describe(steps[step]))
            if loop.evaluates:
                found = measured()
                loop.score(found["held_out_loss"], **found)
    kind = "answers" if alone else "pairs"
    counts = {f"training_{kind}": len(data.training), f"held_out_{kind}": len(data.held_out)}
    report = {**counts, **measured(), **data.report}
    (work.payload / "accuracy.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    state = whole_state(modules)
    save(lm, work.payload, state=merged(state, config.lora), now=True)
    save_adapter(lm, work.payload, state, config.lora)
