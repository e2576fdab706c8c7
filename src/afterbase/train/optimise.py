"""The parts that every training loop shares: AdamW, the schedule, clipping, and checkpoints to resume from.

There is no Trainer: each stage is a loop in one file that calls these.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from afterbase.core.config import Config
from afterbase.core.errors import UserError


class Optimisation(Config):
    """AdamW with decoupled weight decay, linear warm-up, cosine to a floor."""

    learning_rate: float = Field(gt=0)
    """Peak learning rate."""
    floor: float = Field(ge=0)
    """Learning rate of the last step."""
    warmup_steps: int = Field(default=0, ge=0)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest global gradient norm."""


def learning_rate(step: int, steps: int, config: Optimisation) -> float:
    """Rate of a 0-based step: linear warm-up to the peak, then cosine, exactly the floor at the last step.

    A run that ends with its warm-up, or has a single step after it, ends at the peak.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    span = max(1, steps - 1 - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    return config.floor + 0.5 * (config.learning_rate - config.floor) * (1 + math.cos(math.pi * progress))


def adamw(module: nn.Module, config: Optimisation) -> torch.optim.AdamW:
    """AdamW over all trainable parameters; norms and biases do not decay."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    decayed = [p for _, p in named if p.ndim >= 2]
    others = [p for _, p in named if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=1e-8, foreach=True)


def update(optimizer: torch.optim.Optimizer, rate: float, clip: float) -> float:
    """Clip by global norm, step, clear gradients; returns the norm before clipping.

    A gradient that is not finite leaves weights and optimizer untouched; the caller sees it in the norm.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, clip))
    if math.isfinite(norm):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


class SkippedSteps:
    """Counts gradients that were not finite; too many in a row stop the run."""

    def __init__(self, limit: int = 5) -> None:
        self.limit = limit
        self.total = 0
        self._in_a_row = 0

    def see(self, norm: float) -> None:
        """Note one step's gradient norm."""
        if math.isfinite(norm):
            self._in_a_row = 0
            return
        self.total += 1
        self._in_a_row += 1
        if self._in_a_row >= self.limit:
            raise UserError(
                "training needs finite gradients",
                got=f"{self._in_a_row} steps in a row whose gradient norm was {norm}",
                remedy="lower the learning rate or the clip; the weights before these steps are in the checkpoint",
            )


class Checkpoint:
    """The resumable state of a loop in one folder: modules, optimizer, and a small dictionary of cursors."""

    def __init__(self, folder: Path, modules: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._folder = folder
        self._modules = modules
        self._optimizer = optimizer

    def save(self, step: int, **state: Any) -> None:
        """Write all after `step` finished steps; the previous checkpoint stays until this one is whole."""
        part = self._folder / "checkpoint.part"
        blob = {"modules": self._modules.state_dict(), "optimizer": self._optimizer.state_dict()}
        with part.open("wb") as file:
            torch.save({**blob, "step": step, "state": json.dumps(state)}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / "checkpoint.pt")

    def load(self) -> tuple[int, dict[str, Any]]:
        """Restore the latest checkpoint; returns finished steps and the dictionary, (0, {}) if there is none."""
        path = self._folder / "checkpoint.pt"
        if not path.is_file():
            return 0, {}
        blob = torch.load(path, weights_only=True)
        self._modules.load_state_dict(blob["modules"])
        self._optimizer.load_state_dict(blob["optimizer"])
        return blob["step"], json.loads(blob["state"])


def gather_trained(hidden: Tensor, ids: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states (n, hidden) that predict trained tokens, and those tokens (n,).

    A token is predicted by the position before it; the first token of a sample is never trained (it is the
    prompt's), so no prediction crosses a boundary.
    """
    positions = trained.nonzero()[:, 0]
    return hidden.index_select(0, positions - 1), ids.index_select(0, positions)
