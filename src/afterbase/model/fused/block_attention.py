"""Causal attention of short samples as batched products over blocks of queries, which skip most of what is not seen.

PyTorch's kernel without the table of scores makes small products head by head; here all heads and samples of a block
are one product, and its weights are kept for the backward pass. That takes memory that grows with the square of the
length: so for short samples alone.

    P = softmax(scaling Q K^T),  O = P V
    dV = P^T dO,  dS = P (dP - sum(P dP)) with dP = dO V^T,  dQ = scaling dS K,  dK = scaling dS^T Q

Notation: B samples x heads, L queries, W keys (W - L come before the first query), D and C the widths of a key and of
a value, b queries of a block, w the keys that its last one sees.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

LONGEST = 512  # keys
_BLOCK = 64


def block_attention(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """(samples, heads, L, C) of query (samples, heads, L, D), key (samples, heads, W, D), value (..., W, C)."""
    flat = (x.flatten(0, 1) for x in (query, key, value))
    return _BlockAttention.apply(*flat, scaling).unflatten(0, query.shape[:2])


def _blocks(queries: int, keys: int) -> Iterator[tuple[slice, int, int]]:
    """Queries of each block, keys that its first one sees, and keys that its last one sees."""
    count = -(-queries // _BLOCK)
    ends = [queries * (index + 1) // count for index in range(count)]
    before = keys - queries
    for start, end in zip([0, *ends], ends, strict=False):
        yield slice(start, end), before + start + 1, before + end


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BLD: Tensor, k_BWD: Tensor, v_BWC: Tensor, scaling: float) -> Tensor:
        scaled_BLD = q_BLD * scaling
        out_BLC = q_BLD.new_empty(*q_BLD.shape[:2], v_BWC.shape[2])
        weights = []
        for block, first, last in _blocks(q_BLD.shape[1], k_BWD.shape[1]):
            scores_Bbw = torch.bmm(scaled_BLD[:, block], k_BWD[:, :last].mT)
            unseen = torch.ones(block.stop - block.start, last - first, dtype=torch.bool, device=q_BLD.device).triu_()
            scores_Bbw[..., first:].masked_fill_(unseen, -torch.inf)
            weights.append(scores_Bbw.softmax(-1))
            out_BLC[:, block] = torch.bmm(weights[-1], v_BWC[:, :last])
        ctx.save_for_backward(scaled_BLD, k_BWD, v_BWC, *weights)
        ctx.scaling = scaling
        return out_BLC

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        scaled_BLD, k_BWD, v_BWC, *weights = ctx.saved_tensors
        of_q, of_k, of_v = torch.empty_like(scaled_BLD), torch.zeros_like(k_BWD), torch.zeros_like(v_BWC)
        for (block, _, last), weights_Bbw in zip(_blocks(scaled_BLD.shape[1], k_BWD.shape[1]), weights, strict=True):
            of_out = grads[0][:, block]
            of_v[:, :last] += torch.bmm(weights_Bbw.mT, of_out)
            of_weights = torch.bmm(of_out, v_BWC[:, :last].mT)
            of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights_Bbw, -1, weights_Bbw.dtype)
            of_q[:, block] = torch.bmm(of_scores, k_BWD[:, :last])
            of_k[:, :last] += torch.bmm(of_scores.mT, scaled_BLD[:, block])
        return of_q.mul_(ctx.scaling), of_k, of_v, None
