"""One rank of test_ranks.py: a whole run of supervised fine-tuning, in which a rank may kill or stop itself."""

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.deepseek_v3 import modeling_deepseek_v3

from afterbase.core import distributed as ranks
from afterbase.core.store import Store
from afterbase.model import load as models
from afterbase.train import sft
from exact import Float64Torch


def train_exactly(patch: pytest.MonkeyPatch) -> None:
    """The stage in float64, from the model's loading to what it saves."""

    def load(folder: Path) -> models.LanguageModel:
        lm = models.load(folder)
        lm.modules().double()
        return lm

    def save(_lm: models.LanguageModel, folder: Path, *, state: dict[str, torch.Tensor], now: bool = False) -> None:
        if ranks.rank() == 0:
            torch.save({name: tensor.clone() for name, tensor in state.items()}, folder / "state.pt")

    patch.setattr(modeling_deepseek_v3, "torch", Float64Torch())
    patch.setattr(sft, "load", load)
    patch.setattr(sft, "save", save)


def stop_at(step: int, number: signal.Signals) -> None:
    """The signal reaches this very process in the given step's forward pass."""
    accumulate, calls = sft.accumulate, []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == step:
            os.kill(os.getpid(), number)
        return accumulate(*arguments, **options)

    sft.accumulate = counted


def train(root: Path, options: dict[str, Any]) -> None:
    """The whole run, as this rank or alone."""
    inputs = [Store(root / "inputs").find(key, "input") for key in options["inputs"]]
    config = sft.Sft.model_validate(options["config"])
    store = Store(root / options["store"])
    artifact = sft.train_sft(store, "SFT", *inputs, config, seed=3)  # type: ignore[arg-type]
    assert artifact.payload.is_dir(), "every rank finds what the first one made"


if __name__ == "__main__":
    root, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    if options["exact"]:
        train_exactly(pytest.MonkeyPatch())
    ranks.start(deadline=timedelta(seconds=20), silence=10.0)
    if ranks.rank() == options.get("rank"):
        stop_at(options["step"], signal.Signals(options["signal"]))
    train(root, options)
    ranks.end()
