"""Attention that sees sample boundaries: packed samples are isolated, and cost follows the sum of their squares.

`transformers` infers packing from position ids, and an all-ones mask or a cache switches that off without a word.
Here the boundaries are explicit: the caller passes `segments`, and a call without them is an error. On CUDA torch's
own kernel for samples of different lengths is called as its documentation says; untested here, for want of a GPU.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from afterbase.core.errors import UserError

IMPLEMENTATION = "afterbase_packed"


@dataclass(frozen=True)
class Bucket:
    """Samples of similar length, padded to the longest: `gather` (samples, length) holds token positions."""

    gather: Tensor


@dataclass(frozen=True)
class Segments:
    """Where the samples of one packed row lie.

    `position_ids` and `sample_ids`: (tokens,). `scatter`: (tokens,), the place of each token in the concatenation
    of the padded buckets.
    """

    lengths: tuple[int, ...]
    position_ids: Tensor
    sample_ids: Tensor
    buckets: tuple[Bucket, ...]
    scatter: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | None = None) -> "Segments":
        """Segments of a row that holds samples of these lengths, in order."""
        assert lengths and min(lengths) > 0, "every sample has at least one token"
        starts = torch.tensor([0, *lengths]).cumsum(0)
        tokens = int(starts[-1])
        position_ids = torch.cat([torch.arange(n) for n in lengths])
        sample_ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        buckets, scatter, offset = [], torch.empty(tokens, dtype=torch.long), 0
        for members in _by_length(lengths):
            longest = max(lengths[m] for m in members)
            gather = torch.zeros(len(members), longest, dtype=torch.long)
            for row, m in enumerate(members):
                span = torch.arange(lengths[m])
                gather[row, : lengths[m]] = starts[m] + span
                scatter[starts[m] + span] = offset + row * longest + span
            buckets.append(Bucket(gather.to(device)))
            offset += gather.numel()
        return cls(tuple(lengths), position_ids.to(device), sample_ids.to(device), tuple(buckets), scatter.to(device))


def _by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Sample indices in groups whose longest is at most 1.25 times (and 8 tokens above) the shortest."""
    groups: list[list[int]] = []
    for m in sorted(range(len(lengths)), key=lambda m: -lengths[m]):
        if groups and lengths[m] * 1.25 + 8 >= lengths[groups[-1][0]]:
            groups[-1].append(m)
        else:
            groups.append([m])
    return groups


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    segments: Segments,
    scaling: float,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention within each sample of one packed row, in the form `transformers` expects.

    Raises UserError for capped scores, and for a window that is shorter than a sample.

    query, key, value: (1, heads, tokens, dimension), with fewer key heads under grouped-query attention; returns
    (1, tokens, heads, dimension).
    """
    assert query.shape[0] == 1 and attention_mask is None and dropout == 0.0
    longest = max(segments.lengths)
    if softcap is not None or (sliding_window is not None and longest > sliding_window):
        raise UserError(
            "packed attention is plain and causal within a sample",
            got=f"scores capped at {softcap}" if softcap is not None else f"{longest} tokens, window {sliding_window}",
            remedy="use a model without capped scores, or samples no longer than the window",
        )
    width = value.shape[-1]
    # MLA's values are narrower than its keys; only at one width has the CPU a kernel without the table of scores.
    value = F.pad(value, (0, query.shape[-1] - width))
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    grouped = q.shape[1] != k.shape[1]
    if q.is_cuda:
        if torch.is_autocast_enabled("cuda"):  # the kernel has no rule of its own for it
            q, k, v = (x.to(torch.get_autocast_dtype("cuda")) for x in (q, k, v))
        if q.dtype == torch.float32:
            raise UserError(
                "attention on CUDA is computed in bfloat16",
                got="float32",
                remedy='set `compute = "bfloat16"`; weights stay in float32',
            )
        ends = F.pad(torch.tensor(segments.lengths, device=q.device), (1, 0)).cumsum(0, dtype=torch.int32)
        out = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped)
        assert isinstance(out, Tensor)
        return out[..., :width][None], None
    outputs = []
    for bucket in segments.buckets:
        rows, longest = bucket.gather.shape
        flat = bucket.gather.flatten()
        padded_q, padded_k, padded_v = (
            x.index_select(0, flat).view(rows, longest, *x.shape[1:]).transpose(1, 2) for x in (q, k, v)
        )
        out = F.scaled_dot_product_attention(
            padded_q, padded_k, padded_v, is_causal=True, scale=scaling, enable_gqa=grouped
        )
        outputs.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)[..., :width].index_select(0, segments.scatter)[None], None


@functools.cache
def register() -> str:
    """Make `packed_attention` known to `transformers`; returns its name."""
    AttentionInterface.register(IMPLEMENTATION, packed_attention)
    return IMPLEMENTATION
