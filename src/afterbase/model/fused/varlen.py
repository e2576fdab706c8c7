"""Packed attention on CUDA: torch's kernel for sequences of different lengths, called as its documentation says.

The kernel itself is untested here, without a GPU. What it is given is tested: with a stand-in that computes what the
documentation says, under the signature that each torch has.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn

from afterbase.core.errors import UserError
from afterbase.model.attention_variant import AttentionVariant


@dataclass(frozen=True)
class Spans:
    """Of one packed row: where each sample's queries end, and where the keys do that it sees.

    `query_ends`, `key_ends`: (samples + 1,), int32, from 0. `seen`: positions of all keys in the samples' order; None
    where that is the row as it is.
    """

    query_ends: Tensor
    key_ends: Tensor
    longest_query: int
    longest_key: int
    seen: Tensor | None

    @classmethod
    def of(cls, lengths: Sequence[int], continues: Sequence[int | None], device: torch.device) -> "Spans":
        """Those of samples of these lengths; one that continues another sample, given by its index, sees that too."""
        counts = [n + (0 if b is None else lengths[b]) for n, b in zip(lengths, continues, strict=True)]
        seen = None
        if counts != list(lengths):
            spans = torch.arange(sum(lengths)).split(list(lengths))
            parts = [
                span if b is None else torch.cat((spans[b], span)) for span, b in zip(spans, continues, strict=True)
            ]
            seen = torch.cat(parts).to(device)
        query_ends, key_ends = (
            F.pad(torch.tensor(list(n)), (1, 0)).cumsum(0, dtype=torch.int32).to(device) for n in (lengths, counts)
        )
        return cls(query_ends, key_ends, max(lengths), max(counts), seen)


def varlen_attention(
    q: Tensor, k: Tensor, v: Tensor, spans: Spans, variant: AttentionVariant, scaling: float,
    kernel: Callable[..., Any] = varlen_attn,
) -> Tensor:  # fmt: skip
    """Causal attention within the samples of a row: (tokens, heads, dimension) in and out.

    Raises UserError for float32, which the kernel does not compute in.
    """
    if torch.is_autocast_enabled("cuda"):  # the kernel has no rule of its own for it
        q, k, v = (x.to(torch.get_autocast_dtype("cuda")) for x in (q, k, v))
    if q.dtype == torch.float32:
        raise UserError(
            "attention on CUDA is computed in bfloat16",
            got="float32",
            remedy='set `compute = "bfloat16"`; weights stay in float32',
        )
    grouped: dict[str, Any] = {}
    if (heads := q.shape[1] // k.shape[1]) > 1:
        if "enable_gqa" in inspect.signature(kernel).parameters:
            grouped["enable_gqa"] = True
        else:  # torch 2.11
            k, v = (x.repeat_interleave(heads, 1) for x in (k, v))
    if spans.seen is not None:
        k, v = k[spans.seen], v[spans.seen]
    left = variant.window - 1 if variant.window is not None and variant.cuts(spans.longest_key) else -1
    # Where there are more keys than queries the kernel aligns their ends, as FlashAttention does since 2.1.
    out = kernel(
        q, k, v, spans.query_ends, spans.key_ends, spans.longest_query, spans.longest_key,
        scale=scaling, window_size=(left, 0), **grouped,
    )  # fmt: skip
    assert isinstance(out, Tensor)
    return out
