"""Log-probabilities of given tokens under softmax(logits / T), computed in chunks of positions, in backward too.

Never more than one chunk's logits exist, in one buffer: `logsumexp` would take two more of that size. A single chunk
is exponentiated in place and kept for the backward pass, where it becomes the gradient; of several chunks each is
computed again when its turn comes. Logits that a model caps are computed again too, beside their slopes: two buffers.

Notation: N positions, H hidden, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from afterbase.model.head import Head

_CHUNK_BYTES = 256 << 20  # of logits that exist at once: enough rows to keep the matrix product fast


def token_logps(
    hidden_NH: Tensor,
    head: Head | Tensor,
    targets_N: Tensor,
    *,
    temperature: float = 1.0,
    kept_NB: Tensor | None = None,
) -> Tensor:
    """Log-probability (N,) of each target under the policy softmax(logits / temperature).

    `head`: a model's, or a weight (V, H) alone. `kept_NB` limits it to some tokens of the vocabulary: their bits, uint8
    (N, ceil(V / 8)), the lowest bit first. Under autocast the products are computed in its type, everything else in
    that of the head's weight.
    """
    head = Head(head) if isinstance(head, Tensor) else head
    weight_VH = head.weight
    device = hidden_NH.device.type
    if torch.is_autocast_enabled(device):
        lower = torch.get_autocast_dtype(device)
        hidden_NH, weight_VH = hidden_NH.to(lower), weight_VH.to(lower)
    after = _After(temperature, head.scale, head.cap, kept_NB)
    return _TokenLogps.apply(hidden_NH, weight_VH, head.bias, targets_N, after)


class _After(NamedTuple):
    """What follows the linear layer: a scale, a cap, the temperature, and which tokens are kept."""

    temperature: float
    scale: float
    cap: float | None
    kept_NB: Tensor | None


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        after: _After,
    ) -> Tensor:
        ctx.after = after
        ctx.rows = max(1, _CHUNK_BYTES // (weight_VH.shape[0] * _wide(weight_VH).itemsize))
        ctx.save_for_backward(hidden_NH, weight_VH, bias_V, targets_N)
        parts, ctx.kept = [], None
        chunks = zip(hidden_NH.split(ctx.rows), targets_N.split(ctx.rows), _masks(ctx, len(targets_N)), strict=True)
        for hidden, targets, kept in chunks:
            logits = _mask(_logits(after, hidden, weight_VH, bias_V), kept)
            chosen = logits.gather(1, targets[:, None])[:, 0]
            largest, total = _exponentiate(logits)
            parts.append(chosen - (largest + total.log()))
            if len(targets) == len(targets_N) and any(ctx.needs_input_grad) and after.cap is None:
                ctx.kept = logits, total
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden_NH, weight_VH, bias_V, targets_N = ctx.saved_tensors
        after: _After = ctx.after
        hidden_grads, weight_grad = [], None
        bias_grad = torch.zeros_like(bias_V) if ctx.needs_input_grad[2] else None
        chunks = (x.split(ctx.rows) for x in (hidden_NH, targets_N, gradients[0]))
        for hidden, targets, gradient, kept in zip(*chunks, _masks(ctx, len(targets_N)), strict=True):
            steepness = None
            if ctx.kept is None:
                powers = _logits(after, hidden, weight_VH, bias_V)
                if after.cap is not None:  # d cap tanh(u / cap) / d u = 1 - tanh^2
                    steepness = (powers * (after.temperature / after.cap)).square_().neg_().add_(1)
                _, total = _exponentiate(_mask(powers, kept))
            else:
                powers, total = ctx.kept
            # d log p(target) / d logits = (onehot - p) / T
            scaled = gradient[:, None] / (after.temperature / after.scale)
            slope = powers.mul_(-scaled / total[:, None]).scatter_add_(1, targets[:, None], scaled)
            slope = (slope if steepness is None else slope.mul_(steepness)).to(weight_VH.dtype)
            hidden_grads.append(slope @ weight_VH)
            if bias_grad is not None:
                bias_grad += slope.sum(0)
            if not ctx.needs_input_grad[1]:
                continue
            if weight_grad is None:
                weight_grad = (slope.T @ hidden).to(_wide(weight_VH))
            elif weight_grad.dtype == slope.dtype:
                weight_grad.addmm_(slope.T, hidden)
            else:
                weight_grad += slope.T @ hidden
        ctx.kept = None
        weight_grad = None if weight_grad is None else weight_grad.to(weight_VH.dtype)
        return torch.cat(hidden_grads), weight_grad, bias_grad, None, None


def _exponentiate(logits_NV: Tensor) -> tuple[Tensor, Tensor]:
    """exp(logits - the row's largest) in the place of the logits; the largest (N,), and the sum (N,) of the powers."""
    largest_N = logits_NV.amax(1)
    return largest_N, logits_NV.sub_(largest_N[:, None]).exp_().sum(1)


def _masks(ctx: Any, count: int) -> Sequence[Tensor | None]:
    """The packed masks of each chunk of positions, or nothing for each."""
    masks = ctx.after.kept_NB
    return [None] * max(1, -(-count // ctx.rows)) if masks is None else masks.split(ctx.rows)


def _logits(after: _After, hidden: Tensor, weight_VH: Tensor, bias_V: Tensor | None) -> Tensor:
    """logits / T in float32 or wider.

    Without bias and cap the states are scaled, which is the same as scaling the far larger logits.
    """
    if bias_V is None and after.cap is None:
        factor = after.temperature / after.scale
        scaled = hidden if factor == 1.0 else hidden / factor
        return (scaled @ weight_VH.T).to(_wide(weight_VH))
    logits = (hidden @ weight_VH.T).to(_wide(weight_VH))
    if bias_V is not None:
        logits.add_(bias_V)
    if after.cap is None:
        return logits.mul_(after.scale / after.temperature)
    return logits.mul_(after.scale / after.cap).tanh_().mul_(after.cap / after.temperature)


def _mask(logits_NV: Tensor, kept_NB: Tensor | None) -> Tensor:
    """The logits, in place -inf where not kept."""
    if kept_NB is not None:
        bits = torch.arange(8, dtype=torch.uint8, device=kept_NB.device)
        kept_NV = (kept_NB[:, :, None] >> bits & 1).bool().flatten(1)[:, : logits_NV.shape[1]]
        logits_NV.masked_fill_(~kept_NV, -torch.inf)
    return logits_NV


def _wide(weight_VH: Tensor) -> torch.dtype:
    return torch.promote_types(weight_VH.dtype, torch.float32)
