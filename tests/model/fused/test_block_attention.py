"""Attention in blocks against the table of all scores, forward and backward, in float64."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afterbase.model.fused import block_attention
from afterbase.model.fused.block_attention import block_attention as attend


def by_table(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
    queries, keys = query.shape[2], key.shape[2]
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    return (query @ key.mT * scaling).masked_fill(~seen, -torch.inf).softmax(-1) @ value


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 12), st.integers(0, 7), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
@example(1, 1, 1, 0, 0)
@example(2, 2, 9, 0, 0)
def test_equals_the_table_of_scores(samples, heads, queries, before, seed):
    """Blocks of four queries: lengths below, at and above their number."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length: int, width: int) -> torch.Tensor:
        return torch.randn(samples, heads, length, width, generator=generator, dtype=torch.float64)

    leaves = [draw(queries, 3), draw(before + queries, 3), draw(before + queries, 2)]
    direction = draw(queries, 2)
    for leaf in leaves:
        leaf.requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_attention, "_BLOCK", 4)
        ours = attend(*leaves, scaling=0.7)
        of_ours = torch.autograd.grad((ours * direction).sum(), leaves)
    theirs = by_table(*leaves, scaling=0.7)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for got, expected in zip(of_ours, torch.autograd.grad((theirs * direction).sum(), leaves), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@given(st.integers(1, 700), st.integers(0, 300))
def test_blocks_cover_all_queries_once_and_are_of_like_size(queries, before):
    blocks = list(block_attention._blocks(queries, before + queries))
    assert [q for block, _, _ in blocks for q in range(block.start, block.stop)] == list(range(queries))
    sizes = [block.stop - block.start for block, _, _ in blocks]
    assert max(sizes) <= 64
    assert max(sizes) - min(sizes) <= 1
    assert all((first, last) == (before + block.start + 1, before + block.stop) for block, first, last in blocks)
