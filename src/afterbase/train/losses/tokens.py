"""Log-probabilities of given tokens under softmax(logits / T), computed in chunks of positions, in backward too.

Never more than one chunk's logits exist, in one buffer: `logsumexp` would take two more of that size. A single chunk
is exponentiated in place and kept for the backward pass, where it becomes the gradient; of several chunks each is
computed again when its turn comes.

Notation: N positions, H hidden, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_CHUNK_BYTES = 256 << 20  # of logits that exist at once: enough rows to keep the matrix product fast


def token_logps(
    hidden_NH: Tensor,
    head_VH: Tensor,
    targets_N: Tensor,
    *,
    temperature: float = 1.0,
    kept_NB: Tensor | None = None,
) -> Tensor:
    """Log-probability (N,) of each target under the policy softmax(logits / temperature).

    `kept_NB` limits it to some tokens of the vocabulary: their bits, uint8 (N, ceil(V / 8)), the lowest bit first.
    Under autocast the products are computed in its type, everything else in that of `head_VH`.
    """
    device = hidden_NH.device.type
    if torch.is_autocast_enabled(device):
        lower = torch.get_autocast_dtype(device)
        hidden_NH, head_VH = hidden_NH.to(lower), head_VH.to(lower)
    return _TokenLogps.apply(hidden_NH, head_VH, targets_N, temperature, kept_NB)


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        head_VH: Tensor,
        targets_N: Tensor,
        temperature: float,
        kept_NB: Tensor | None,
    ) -> Tensor:
        ctx.temperature = temperature
        ctx.masks = kept_NB
        ctx.rows = max(1, _CHUNK_BYTES // (head_VH.shape[0] * _wide(head_VH).itemsize))
        ctx.save_for_backward(hidden_NH, head_VH, targets_N)
        parts, ctx.kept = [], None
        chunks = zip(hidden_NH.split(ctx.rows), targets_N.split(ctx.rows), _masks(ctx, len(targets_N)), strict=True)
        for hidden, targets, kept in chunks:
            logits = _logits(hidden, head_VH, temperature, kept)
            chosen = logits.gather(1, targets[:, None])[:, 0]
            largest, total = _exponentiate(logits)
            parts.append(chosen - (largest + total.log()))
            if len(targets) == len(targets_N) and any(ctx.needs_input_grad):
                ctx.kept = logits, total
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        hidden_NH, head_VH, targets_N = ctx.saved_tensors
        hidden_grads, head_grad = [], None
        chunks = (x.split(ctx.rows) for x in (hidden_NH, targets_N, gradients[0]))
        for hidden, targets, gradient, kept in zip(*chunks, _masks(ctx, len(targets_N)), strict=True):
            if ctx.kept is None:
                powers = _logits(hidden, head_VH, ctx.temperature, kept)
                _, total = _exponentiate(powers)
            else:
                powers, total = ctx.kept
            # d log p(target) / d logits = (onehot - p) / T
            scaled = gradient[:, None] / ctx.temperature
            slope = powers.mul_(-scaled / total[:, None]).scatter_add_(1, targets[:, None], scaled).to(head_VH.dtype)
            hidden_grads.append(slope @ head_VH)
            if not ctx.needs_input_grad[1]:
                continue
            if head_grad is None:
                head_grad = (slope.T @ hidden).to(_wide(head_VH))
            elif head_grad.dtype == slope.dtype:
                head_grad.addmm_(slope.T, hidden)
            else:
                head_grad += slope.T @ hidden
        ctx.kept = None
        return torch.cat(hidden_grads), None if head_grad is None else head_grad.to(head_VH.dtype), None, None, None


def _exponentiate(logits_NV: Tensor) -> tuple[Tensor, Tensor]:
    """exp(logits - the row's largest) in the place of the logits; the largest (N,), and the sum (N,) of the powers."""
    largest_N = logits_NV.amax(1)
    return largest_N, logits_NV.sub_(largest_N[:, None]).exp_().sum(1)


def _masks(ctx: Any, count: int) -> Sequence[Tensor | None]:
    """The packed masks of each chunk of positions, or nothing for each."""
    return [None] * max(1, -(-count // ctx.rows)) if ctx.masks is None else ctx.masks.split(ctx.rows)


def _logits(hidden: Tensor, head_VH: Tensor, temperature: float, kept_NB: Tensor | None) -> Tensor:
    """logits / T in float32 or wider, -inf where not kept.

    Scaling the states is the same as scaling the far larger logits.
    """
    scaled = hidden if temperature == 1.0 else hidden / temperature
    logits = (scaled @ head_VH.T).to(_wide(head_VH))
    if kept_NB is not None:
        bits = torch.arange(8, dtype=torch.uint8, device=kept_NB.device)
        kept_NV = (kept_NB[:, :, None] >> bits & 1).bool().flatten(1)[:, : logits.shape[1]]
        logits.masked_fill_(~kept_NV, -torch.inf)
    return logits


def _wide(head_VH: Tensor) -> torch.dtype:
    return torch.promote_types(head_VH.dtype, torch.float32)
