"""Attention that sees sample boundaries: packed samples are isolated, and cost follows the sum of their squares.

`transformers` infers packing from position ids, and an all-ones mask or a cache switches that off without a word.
Here the boundaries are explicit: the caller passes `segments`, and a call without them is an error. On CUDA torch's
own kernel for samples of different lengths is called (fused/varlen.py).
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface

from afterbase.model.attention_variant import AttentionVariant, causal_attention
from afterbase.model.fused.padded_buckets import PaddedBuckets
from afterbase.model.fused.varlen import Spans, varlen_attention

IMPLEMENTATION = "afterbase_packed"


@dataclass(frozen=True)
class Segments:
    """Where the samples of one packed row lie.

    `position_ids` and `sample_ids`: (tokens,). `queries` are the samples in buckets of similar length, and `keys` what
    they see: the same, each behind the prompt that it continues.
    """

    lengths: tuple[int, ...]
    position_ids: Tensor
    sample_ids: Tensor
    queries: PaddedBuckets
    keys: PaddedBuckets
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
        starts = [0, *itertools.accumulate(lengths)]
        tokens = starts[-1]
        begins = [0 if b is None else lengths[b] for b in before]
        position_ids = torch.cat([torch.arange(begin, begin + n) for begin, n in zip(begins, lengths, strict=True)])
        sample_ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        prefixes, owns = [], []
        for members in _alike(lengths, before):
            own = torch.full((len(members), max(lengths[m] for m in members)), -1)
            for row, m in enumerate(members):
                own[row, : lengths[m]] = torch.arange(starts[m], starts[m + 1])
            prompt = before[members[0]]
            prefixes.append(None if prompt is None else slice(starts[prompt], starts[prompt + 1]))
            owns.append(own)
        queries = PaddedBuckets.of([(None, own) for own in owns], tokens, device)
        alone = all(prefix is None for prefix in prefixes)
        return cls(
            lengths=tuple(lengths),
            position_ids=position_ids.to(device),
            sample_ids=sample_ids.to(device),
            queries=queries,
            keys=queries if alone else PaddedBuckets.of(list(zip(prefixes, owns, strict=True)), tokens, device),
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
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    if q.is_cuda and not variant.needs_table:
        width = v.shape[-1]
        v = F.pad(v, (0, q.shape[-1] - width))  # the kernel has one width
        return varlen_attention(q, k, v, segments.spans, variant, scaling)[..., :width][None], None
    return _bucketed_attention(q, k, v, segments, variant, scaling)[None], None


def _bucketed_attention(
    q: Tensor, k: Tensor, v: Tensor, segments: Segments, variant: AttentionVariant, scaling: float
) -> Tensor:
    """Samples of similar length at once: (tokens, heads, dimension) in and out."""
    outputs = []
    parts = segments.queries.split(q), segments.keys.split(k), segments.keys.split(v)
    for query, key, value in zip(*parts, strict=True):
        before = key.shape[2] - query.shape[2]
        outputs.append(causal_attention(query, key, value, variant, scaling=scaling, before=before))
    return segments.queries.join(outputs)


@functools.cache
def register() -> str:
    """Make `packed_attention` known to `transformers`; returns its name."""
    AttentionInterface.register(IMPLEMENTATION, packed_attention)
    return IMPLEMENTATION
