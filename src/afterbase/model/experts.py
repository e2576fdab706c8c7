"""The routed experts as one sorted pass: rows grouped by expert, one pair of matrix products an expert.

The same sum as `transformers`' loop over experts, without its scatter and its full-size gradient per expert.
"""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.moe import ExpertsInterface

IMPLEMENTATION = "afterbase_sorted"


class _Permute(torch.autograd.Function):
    """x[order] for a permutation: backward is a gather too, instead of a scatter-add."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (inverse,) = ctx.saved_tensors
        return grads[0].index_select(0, inverse), None, None


def sorted_experts(experts: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of each token's experts.

    hidden: (tokens, hidden); chosen, weights: (tokens, k); returns (tokens, hidden) in the dtype of `hidden`.
    """
    tokens, k = chosen.shape
    flat = chosen.flatten()
    order = flat.argsort(stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order))
    loads = torch.bincount(flat, minlength=experts.num_experts).tolist()
    repeated = hidden[:, None].expand(-1, k, -1).reshape(tokens * k, -1)
    rows = _Permute.apply(repeated, order, inverse).split(loads)
    gates_ups, downs = experts.gate_up_proj.unbind(0), experts.down_proj.unbind(0)
    outputs = []
    for row, gate_up, down in zip(rows, gates_ups, downs, strict=True):
        gate, up = F.linear(row, gate_up).chunk(2, dim=-1)
        outputs.append(F.linear(experts.act_fn(gate) * up, down))
    out = _Permute.apply(torch.cat(outputs), inverse, order).view(tokens, k, -1)
    return (out * weights[..., None]).sum(1).to(hidden.dtype)


@functools.cache
def register() -> str:
    """Make `sorted_experts` known to `transformers`; returns its name."""
    ExpertsInterface.register(IMPLEMENTATION, sorted_experts)
    return IMPLEMENTATION
