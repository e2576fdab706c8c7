"""What happens to the weights in a step: AdamW, the schedule, clipping, and steps that are skipped."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from afterbase.core.errors import UserError
from afterbase.train.config import Optimisation


def learning_rate(step: int, steps: int, config: Optimisation) -> float:
    """Rate of a 0-based step: linear warm-up to the peak, then the schedule, exactly the floor at the last step.

    A constant rate stays at the peak. A run that ends with its warm-up, or has a single step after it, ends there too.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    span = max(1, steps - 1 - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps) / span)
    left = 1 - progress if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return config.last_rate + (config.learning_rate - config.last_rate) * left


def adamw(module: nn.Module, config: Optimisation) -> torch.optim.AdamW:
    """AdamW over all trainable parameters; norms and biases do not decay."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    decayed = [p for _, p in named if p.ndim >= 2]
    others = [p for _, p in named if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=1e-8, fused=True)


def update(optimizer: torch.optim.Optimizer, rate: float, config: Optimisation) -> tuple[float, bool]:
    """Clip by global norm, step, clear gradients; returns the norm before clipping, and whether the weights moved.

    A gradient that is not finite, or has exploded, leaves weights and optimizer untouched.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    total = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
    moved = math.isfinite(norm) and norm <= config.explosion
    if moved:
        if norm > config.clip:  # otherwise torch would multiply every gradient by one
            torch.nn.utils.clip_grads_with_norm_(parameters, config.clip, total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm, moved


class SkippedSteps:
    """Counts steps that were skipped for their gradients; too many in a row stop the run."""

    def __init__(self, limit: int = 5, *, total: int = 0) -> None:
        self.limit = limit
        self.total = total
        self._in_a_row = 0

    def see(self, norm: float, moved: bool, keep_batch: Callable[[], Path]) -> None:
        """Note one step's gradient norm; `keep_batch` writes down what was in the step, when it is the last straw."""
        if moved:
            self._in_a_row = 0
            return
        self.total += 1
        self._in_a_row += 1
        if self._in_a_row >= self.limit:
            raise UserError(
                "training needs finite gradients that do not explode",
                got=f"{self._in_a_row} steps in a row that were skipped, the last with a gradient norm of {norm}",
                remedy=f"look at its samples in {keep_batch()}; lower the learning rate; "
                "the weights before these steps are in the last checkpoint",
            )


def gather_trained(hidden: Tensor, ids: Tensor, trained: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states (n, hidden) that predict trained tokens, and those tokens (n,).

    A token is predicted by the position before it; the first token of a sample is never trained (it is the
    prompt's), so no prediction crosses a boundary.
    """
    positions = trained.nonzero()[:, 0]
    return hidden.index_select(0, positions - 1), ids.index_select(0, positions)
