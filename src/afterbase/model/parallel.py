"""Weights, gradients and optimizer states spread over the ranks of a run: FSDP2 (`fully_shard`) over a device mesh.

Each decoder layer is gathered for its own forward and backward pass; embedding, norms and heads form the outermost
group. FSDP acts around a module's `forward`, and our losses call parts of a model: so they run inside the `forward`
of one module that holds all parts. Alone, nothing is spread.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from afterbase.core import distributed as ranks

T = TypeVar("T")
Forward = Callable[[Callable[[], T]], T]
"""Runs a forward computation; what comes out may be differentiated."""


def direct(compute: Callable[[], T]) -> T:
    """The forward computation as it is."""
    return compute()


def sharded(modules: nn.ModuleDict, *, bfloat16: bool = False) -> Forward:
    """Spread the modules over the ranks, in place, before an optimizer sees them; returns how to run a computation.

    With `bfloat16` matrix products are computed in it; weights, gradients and optimizer states stay in float32.
    """
    whole = _Whole(modules, bfloat16)
    if ranks.size() > 1:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (ranks.size(),))
        for layer in _layers(modules):
            fully_shard(layer, mesh=mesh)
        fully_shard(whole, mesh=mesh)
    return whole


def backward(part: Tensor) -> float:
    """Add the gradients of this rank's part of a loss, which is the sum of all ranks' parts; returns the part."""
    (part * ranks.size()).backward()  # FSDP averages over ranks
    return part.item()


def whole_state(modules: nn.ModuleDict, *, copy: bool = False) -> dict[str, Tensor]:
    """All weights and buffers as plain tensors on the CPU, for the first rank; the others take part and get nothing.

    Tied weights stay tied. With `copy` they do not change as training continues.
    """
    gathered: dict[int, Tensor] = {}
    state = modules.state_dict(keep_vars=True)
    for tensor in state.values():
        if id(tensor) not in gathered:
            whole = (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()
            if ranks.rank() == 0:
                gathered[id(tensor)] = whole.to("cpu", copy=copy)
    return {name: gathered[id(tensor)] for name, tensor in state.items()} if ranks.rank() == 0 else {}


class _Whole(nn.Module):
    def __init__(self, modules: nn.ModuleDict, bfloat16: bool) -> None:
        super().__init__()
        self.modules_ = modules
        self._bfloat16 = bfloat16

    def forward(self, compute: Callable[[], T]) -> T:
        device = next(self.modules_.parameters()).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self._bfloat16):
            return compute()


def _layers(modules: nn.ModuleDict) -> list[nn.Module]:
    """Decoder layers, that of the multi-token prediction module too: whatever has self-attention in it."""
    return [module for module in modules.modules() if hasattr(module, "self_attn")]
