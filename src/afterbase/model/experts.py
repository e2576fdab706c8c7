"""The routed experts as one sorted pass: rows grouped by expert, one pair of matrix products an expert.

The same sum as `transformers`' loop over experts. Products write into one buffer for all experts, and so do the
gradients of the weights; what a token gets of its experts is added up in one pass, without a scatter.

Notation: T tokens, K experts a token, N = T x K pairs of a token and an expert, sorted by expert; X hidden width,
E experts, O outputs.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.moe import ExpertsInterface

IMPLEMENTATION = "afterbase_sorted"


@dataclass(frozen=True)
class Pairs:
    """Which pairs there are: each one's place `order_N` in tokens x K, each place's pair `places_TK`, and how many
    pairs each expert has."""

    order_N: Tensor
    places_TK: Tensor
    loads: list[int]

    @classmethod
    def of(cls, chosen_TK: Tensor, experts: int) -> "Pairs":
        """Sorted by expert, and of one expert by token."""
        flat_N = chosen_TK.flatten()
        if flat_N.is_cuda:
            order_N = flat_N.argsort(stable=True)
        else:  # small integers NumPy sorts in linear time
            order_N = torch.from_numpy(flat_N.to(torch.int16).numpy().argsort(kind="stable"))
        places_N = torch.empty_like(order_N)
        places_N[order_N] = torch.arange(len(order_N), device=order_N.device)
        loads = torch.bincount(flat_N, minlength=experts).tolist()
        return cls(order_N, places_N.view_as(chosen_TK), loads)

    @property
    def tokens(self) -> Tensor:
        """The token of each pair."""
        return self.order_N // self.places_TK.shape[1]


class _OfPairs(torch.autograd.Function):
    """Each pair's token: x[tokens]. Backward adds up a token's pairs in one pass, instead of a scatter-add."""

    @staticmethod
    def forward(ctx: Any, x_TX: Tensor, pairs: Pairs) -> Tensor:
        ctx.pairs = pairs
        return x_TX.index_select(0, pairs.tokens)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return F.embedding_bag(ctx.pairs.places_TK, grads[0].contiguous(), mode="sum"), None


class _OfTokens(torch.autograd.Function):
    """The weighted sum of each token's pairs, in one pass."""

    @staticmethod
    def forward(ctx: Any, x_NX: Tensor, weights_TK: Tensor, pairs: Pairs) -> Tensor:
        ctx.save_for_backward(x_NX, weights_TK)
        ctx.pairs = pairs
        return F.embedding_bag(pairs.places_TK, x_NX, mode="sum", per_sample_weights=weights_TK)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x_NX, weights_TK = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        of_pairs_NX = grads[0].index_select(0, pairs.tokens)
        of_weights_TK = (of_pairs_NX * x_NX).sum(-1).take(pairs.places_TK)
        return of_pairs_NX.mul_(weights_TK.take(pairs.order_N)[:, None]), of_weights_TK, None


class _OfExperts(torch.autograd.Function):
    """Each expert's linear layer on its own rows: (N, X) and weights (E, O, X) to (N, O)."""

    @staticmethod
    def forward(ctx: Any, x_NX: Tensor, weight_EOX: Tensor, loads: list[int]) -> Tensor:
        ctx.save_for_backward(x_NX, weight_EOX)
        ctx.loads = loads
        out_NO = x_NX.new_empty(len(x_NX), weight_EOX.shape[1])
        for x, weight, out in zip(x_NX.split(loads), weight_EOX.unbind(), out_NO.split(loads), strict=True):
            torch.mm(x, weight.T, out=out)
        return out_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x_NX, weight_EOX = ctx.saved_tensors
        of_x = torch.empty_like(x_NX) if ctx.needs_input_grad[0] else None
        of_weight = torch.empty_like(weight_EOX) if ctx.needs_input_grad[1] else None
        start = 0
        for expert, load in enumerate(ctx.loads):
            rows = slice(start, start + load)
            start += load
            if of_x is not None:
                torch.mm(grads[0][rows], weight_EOX[expert], out=of_x[rows])
            if of_weight is not None:
                torch.mm(grads[0][rows].T, x_NX[rows], out=of_weight[expert])
        return of_x, of_weight, None


def sorted_experts(experts: Any, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of each token's experts.

    hidden: (tokens, hidden); chosen, weights: (tokens, k); returns (tokens, hidden) in the dtype of `hidden`.
    """
    gates_ups, downs, x_TX = experts.gate_up_proj, experts.down_proj, hidden
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        lower = torch.get_autocast_dtype(device)
        gates_ups, downs, x_TX = gates_ups.to(lower), downs.to(lower), x_TX.to(lower)
    pairs = Pairs.of(chosen, experts.num_experts)
    gate, up = _OfExperts.apply(_OfPairs.apply(x_TX, pairs), gates_ups, pairs.loads).chunk(2, dim=-1)
    out_NX = _OfExperts.apply(experts.act_fn(gate) * up, downs, pairs.loads)
    return _OfTokens.apply(out_NX.to(weights.dtype), weights, pairs).to(hidden.dtype)


@functools.cache
def register() -> str:
    """Make `sorted_experts` known to `transformers`; returns its name."""
    ExpertsInterface.register(IMPLEMENTATION, sorted_experts)
    return IMPLEMENTATION
