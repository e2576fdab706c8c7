"""What CUDA's kernel is given, with a stand-in for it that computes what torch's documentation says."""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments, packed_attention
from afterbase.model.attention_variant import AttentionVariant
from afterbase.model.fused.varlen import Spans, varlen_attention


def torch_2_11(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int, *,
    return_aux: Any = None, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
) -> Tensor:  # fmt: skip
    """The signature of torch 2.11, which has no word for fewer key heads."""
    assert query.shape[1] == key.shape[1], "no grouped heads"
    return documented(query, key, value, (cu_seq_q, cu_seq_k, max_q, max_k), scale, window_size)


def torch_2_12(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor | None, max_q: int, max_k: int, *,
    return_aux: Any = None, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False, seqused_k: Tensor | None = None, block_table: Tensor | None = None,
    num_splits: int | None = None,
) -> Tensor:  # fmt: skip
    """The signature of torch 2.12 and 2.13."""
    assert enable_gqa == (query.shape[1] != key.shape[1])
    assert cu_seq_k is not None
    repeats = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
    return documented(query, key, value, (cu_seq_q, cu_seq_k, max_q, max_k), scale, window_size)


def documented(
    query: Tensor, key: Tensor, value: Tensor, ends: tuple[Tensor, Tensor, int, int], scale: float | None,
    window: tuple[int, int],
) -> Tensor:  # fmt: skip
    """A sequence at a time; (W, 0) sees W tokens before each token, and the ends of keys and queries are aligned."""
    cu_q, cu_k, max_q, max_k = ends
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert int(cu_q.diff().max()) == max_q
    assert int(cu_k.diff().max()) == max_k
    assert window[1] == 0
    assert scale is not None
    assert int(cu_k[-1]) == len(key) == len(value)
    out = []
    bounds = [x.tolist() for x in (cu_q, cu_k)]
    for q0, q1, k0, k1 in zip(bounds[0], bounds[0][1:], bounds[1], bounds[1][1:], strict=False):
        q, k, v = query[q0:q1].transpose(0, 1), key[k0:k1].transpose(0, 1), value[k0:k1].transpose(0, 1)
        at, of = torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0), torch.arange(k1 - k0)
        seen = (of <= at) & ((of >= at - window[0]) if window[0] >= 0 else True)
        scores = (q @ k.transpose(1, 2) * scale).masked_fill(~seen, -torch.inf)
        out.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(out)


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[int], list[int | None]]:
    """Lengths, and which sample each continues."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    continues: list[int | None] = [None] + [draw(st.sampled_from([None, 0])) for _ in lengths[1:]]
    return lengths, continues


@pytest.mark.parametrize("kernel", [torch_2_11, torch_2_12])
@given(rows(), st.sampled_from([1, 2]), st.none() | st.integers(1, 10))
@settings(deadline=None, max_examples=40)
def test_the_kernel_computes_what_buckets_do(kernel, row, key_heads, window):
    lengths, continues = row
    torch.manual_seed(0)
    q = torch.randn(sum(lengths), 2, 8, dtype=torch.float64)
    k, v = torch.randn(2, sum(lengths), key_heads, 8, dtype=torch.float64)
    segments = Segments.of(lengths, continues=continues)
    ours = varlen_attention(q, k, v, segments.spans, AttentionVariant(window=window), 0.3, kernel)
    query, key, value = (x.transpose(0, 1)[None] for x in (q, k, v))
    wanted, _ = packed_attention(
        torch.nn.Identity(), query, key, value, None, segments=segments, scaling=0.3, sliding_window=window
    )
    torch.testing.assert_close(ours, wanted[0])


def test_the_stand_in_has_the_signature_of_this_torch():
    ours = inspect.signature(varlen_attn).parameters
    for stand_in in (torch_2_11, torch_2_12):
        theirs = inspect.signature(stand_in).parameters
        shared = [name for name in theirs if name in ours]
        assert list(theirs)[: len(shared)] == shared
        assert all(theirs[name].kind == ours[name].kind for name in shared)


def test_keys_are_not_copied_where_nothing_is_continued():
    assert Spans.of([3, 2], [None, None], torch.device("cpu")).seen is None
    spans = Spans.of([3, 2], [None, 0], torch.device("cpu"))
    assert spans.seen is not None
    assert spans.seen.tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert spans.key_ends.tolist() == [0, 3, 8]


def test_float32_is_refused():
    x = torch.zeros(2, 1, 8)
    with pytest.raises(UserError, match="bfloat16"):
        varlen_attention(x, x, x, Spans.of([2], [None], torch.device("cpu")), AttentionVariant(), 1.0, torch_2_12)
