"""One rank of test_ranks.py: the gradients of each case in float64, written by the first rank."""

import sys
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from afterbase.core import distributed as ranks
from afterbase.model.balance import LoadCounter
from afterbase.model.load import load
from afterbase.model.parallel import sharded
from afterbase.reward.scalar import RewardModel, new_reward_model
from afterbase.train import sft
from afterbase.train.preference import dpo, kto, reward_model
from exact import compute_in_float64


def new_exact_reward_model(lm) -> RewardModel:
    rm = new_reward_model(lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return rm


def gradients(folder: Path, kind: str, case: tuple[Any, ...]) -> dict[str, Any]:
    """The losses and all gradients, gathered from every rank."""
    lm = load(folder / "model")
    rm = new_exact_reward_model(lm) if kind == "reward model" else None
    modules = lm.modules() if rm is None else rm.modules()
    modules.double()
    forward = sharded(modules)
    accumulate: Any = {"sft": sft, "reward model": reward_model, "dpo": dpo, "kto": kto}[kind].accumulate
    counter = LoadCounter(modules)
    options = {"counter": counter} if kind == "sft" else {}
    numbers = accumulate(rm or lm, *case, forward, **options)
    whole = {
        name: p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad
        for name, p in modules.named_parameters()
        if p.grad is not None
    }
    loads = torch.stack(counter.global_loads())
    return {"numbers": numbers, "gradients": whole, "loads": loads, "size": ranks.size()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    compute_in_float64()
    ranks.start()
    found = [gradients(folder, *case) for case in torch.load(folder / "cases.pt", weights_only=False)]
    if ranks.rank() == 0:
        torch.save(found, folder / "found.pt")
    ranks.end()
