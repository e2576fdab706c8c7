"""Attention that sees sample boundaries: packed samples are isolated, and cost follows the sum of their squares.

`transformers` infers packing from position ids, and an all-ones mask or a cache switches that off without a word.
Here the boundaries are explicit: the caller passes `segments`, and a call without them is an error. On CUDA torch's
own kernel for samples of different lengths is called (fused/varlen.py).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface

from afterbase.model.attention_variant import AttentionVariant, causal_attention
from afterbase.model.fused.varlen import Spans, varlen_attention

IMPLEMENTATION = "afterbase_packed"


@dataclass(frozen=True)
class Bucket:
    """Samples of similar length, padded to the longest: `gather` (samples, length) holds token positions.

    `prefix` says where the one prompt that all of them continue begins and ends, if they do.
    """

    gather: Tensor
    prefix: tuple[int, int] | None


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
    continues: tuple[int | None, ...]

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        device: torch.device | None = None,
        *,
        continues: Sequence[int | None] | None = None,
    ) -> "Segments":
        """Segments of a row that holds samples of these lengths, in order.

        A sample that `continues` another one, given by its index, sees all of that one too, and its positions go on
        from there: several answers share one pass over their prompt. What is continued continues nothing itself.
        """
        assert lengths and min(lengths) > 0, "every sample has at least one token"
        before = tuple(continues) if continues is not None else (None,) * len(lengths)
        assert all(b is None or before[b] is None for b in before), "what is continued continues nothing itself"
        starts = torch.tensor([0, *lengths]).cumsum(0)
        tokens = int(starts[-1])
        begins = [0 if b is None else lengths[b] for b in before]
        position_ids = torch.cat([torch.arange(begin, begin + n) for begin, n in zip(begins, lengths, strict=True)])
        sample_ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        buckets, scatter, offset = [], torch.empty(tokens, dtype=torch.long), 0
        for members in _alike(lengths, before):
            longest = max(lengths[m] for m in members)
            gather = torch.zeros(len(members), longest, dtype=torch.long)
            for row, m in enumerate(members):
                span = torch.arange(lengths[m])
                gather[row, : lengths[m]] = starts[m] + span
                scatter[starts[m] + span] = offset + row * longest + span
            prompt = before[members[0]]
            prefix = None if prompt is None else (int(starts[prompt]), int(starts[prompt]) + lengths[prompt])
            buckets.append(Bucket(gather.to(device), prefix))
            offset += gather.numel()
        return cls(
            lengths=tuple(lengths),
            position_ids=position_ids.to(device),
            sample_ids=sample_ids.to(device),
            buckets=tuple(buckets),
            scatter=scatter.to(device),
            continues=before,
        )

    @functools.cached_property
    def spans(self) -> Spans:
        """What CUDA's kernel is told of the samples: made once a row, and not in each layer."""
        return Spans.of(self.lengths, self.continues, self.position_ids.device)


def _alike(lengths: Sequence[int], continues: Sequence[int | None]) -> list[list[int]]:
    """Sample indices in groups that continue the same prompt, or none, and are of similar length.

    The longest is at most 1.25 times (and 8 tokens above) the shortest.
    """
    groups: list[list[int]] = []
    by_prompt = sorted(range(len(lengths)), key=lambda m: (-1 if continues[m] is None else continues[m], -lengths[m]))
    for m in by_prompt:
        first = groups[-1][0] if groups else None
        if first is not None and continues[m] == continues[first] and lengths[m] * 1.25 + 8 >= lengths[first]:
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
    **of_family: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sample of one packed row, and to what it continues, as `transformers` expects it.

    `of_family` may hold a window, a cap of scores and sinks (attention_variant.py).

    query, key, value: (1, heads, tokens, dimension), with fewer key heads under grouped-query attention; returns
    (1, tokens, heads, dimension).
    """
    assert query.shape[0] == 1 and attention_mask is None, "a mask of the family's own"
    assert of_family.get("dropout", 0.0) == 0.0, "a dropout of the family's own"
    variant = AttentionVariant.of(of_family)
    width = value.shape[-1]
    # MLA's values are narrower than its keys; only at one width has the CPU a kernel without the table of scores.
    value = F.pad(value, (0, query.shape[-1] - width))
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if q.is_cuda and not variant.needs_table:
        return varlen_attention(q, k, v, segments.spans, variant, scaling)[..., :width][None], None
    in_buckets = _bucketed_attention(q, k, v, segments, variant, scaling)[..., :width]
    return in_buckets.index_select(0, segments.scatter)[None], None


def _bucketed_attention(
    q: Tensor, k: Tensor, v: Tensor, segments: Segments, variant: AttentionVariant, scaling: float
) -> Tensor:
    """Samples of similar length at once: (tokens, heads, dimension) in, and out in the buckets' order."""
    outputs = []
    for bucket in segments.buckets:
        rows, longest = bucket.gather.shape
        flat = bucket.gather.flatten()
        padded_q, padded_k, padded_v = (x.index_select(0, flat).view(rows, longest, *x.shape[1:]) for x in (q, k, v))
        before = 0
        if bucket.prefix is not None:
            start, end = bucket.prefix
            before = end - start
            padded_k, padded_v = (
                torch.cat((x[start:end].expand(rows, -1, -1, -1), own), 1) for x, own in ((k, padded_k), (v, padded_v))
            )
        query, key, value = (x.transpose(1, 2) for x in (padded_q, padded_k, padded_v))
        out = causal_attention(query, key, value, variant, scaling=scaling, before=before)
        outputs.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


@functools.cache
def register() -> str:
    """Make `packed_attention` known to `transformers`; returns its name."""
    AttentionInterface.register(IMPLEMENTATION, packed_attention)
    return IMPLEMENTATION
