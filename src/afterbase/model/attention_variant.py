"""What families do to attention beside scaling its scores: windows, caps and sinks; and attention that does all of it.

scores = cap tanh(q k / cap)                                        Gemma 2 (arXiv 2408.00118, section 2)
weights = exp(scores) / (exp(sink of the head) + sum exp(scores))    gpt-oss (arXiv 2508.10925, section 2)
token i sees the tokens i - window + 1 .. i                          Mistral (arXiv 2310.06825, section 2)
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from afterbase.model.fused.block_attention import LONGEST, block_attention


@dataclass(frozen=True)
class AttentionVariant:
    """Of one layer: how many tokens each token sees, itself included; the cap of scores; the `sinks` (heads,)."""

    window: int | None = None
    cap: float | None = None
    sinks: Tensor | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """From the keyword arguments that transformers hands to an attention function."""
        return cls(options.get("sliding_window"), options.get("softcap"), options.get("s_aux"))

    @property
    def needs_table(self) -> bool:
        """Whether torch has no kernel for it, so that the table of scores is made."""
        return self.cap is not None or self.sinks is not None

    def cuts(self, tokens: int) -> bool:
        """Whether the last of so many tokens does not see the first."""
        return self.window is not None and tokens > self.window


PLAIN = AttentionVariant()


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, variant: AttentionVariant, *, scaling: float, before: int = 0
) -> Tensor:
    """Attention of the last tokens of sequences to themselves and to what comes before them, (rows, heads, tokens, D).

    query: (rows, heads, tokens, D). key, value: (rows, key heads, before + tokens, D), values perhaps narrower.
    """
    tokens, width = query.shape[2], value.shape[3]
    grouped = query.shape[1] != key.shape[1]
    short = not grouped and before + tokens <= LONGEST and query.device.type == "cpu"
    exact = query.dtype == key.dtype == value.dtype and not torch.is_autocast_enabled(query.device.type)
    if short and exact and not variant.needs_table and not variant.cuts(before + tokens):
        return block_attention(query, key, value, scaling)
    mask = None
    if before or variant.cuts(tokens):
        mask = visible(tokens, before, variant.window, query.device)
    if variant.needs_table:
        if mask is None:
            mask = visible(tokens, before, None, query.device)
        return _by_table(query, key, value, variant, mask, scaling)
    # MLA's values are narrower than its keys; only at one width has the CPU a kernel without the table of scores.
    if width != query.shape[3]:
        value = F.pad(value, (0, query.shape[3] - width))
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
    )[..., :width]


def visible(tokens: int, before: int, window: int | None, device: torch.device) -> Tensor:
    """What tokens that follow `before` others see, (tokens, before + tokens): themselves and earlier ones, in a window.

    >>> visible(2, 2, 3, torch.device("cpu")).int().tolist()
    [[1, 1, 1, 0], [0, 1, 1, 1]]
    """
    seen = torch.ones(tokens, before + tokens, dtype=torch.bool, device=device).tril(before)
    return seen if window is None else seen.triu(before - window + 1)


def softmax_beside_sinks(scores: Tensor, sinks: Tensor) -> Tensor:
    """Softmax of scores (..., keys) over the keys and a sink each, `sinks` (...), without the sinks' own weights."""
    return torch.cat((scores, sinks[..., None].to(scores.dtype)), -1).softmax(-1)[..., :-1]


def _by_table(
    query: Tensor, key: Tensor, value: Tensor, variant: AttentionVariant, mask: Tensor, scaling: float
) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    scores = query @ key.mT * scaling
    if variant.cap is not None:
        scores = variant.cap * torch.tanh(scores / variant.cap)
    scores = scores.masked_fill(~mask, -torch.inf)
    if variant.sinks is None:
        weights = scores.softmax(-1)
    else:
        weights = softmax_beside_sinks(scores, variant.sinks[:, None].expand(scores.shape[:-1]))
    return weights.to(value.dtype) @ value
