"""Into buckets and back: each token lies where it should, and gradients meet in the prompts."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.model.fused.padded_buckets import PaddedBuckets

# For each bucket: how long its prompt is, 0 for none, and how long its samples are.
BUCKETS = st.lists(
    st.tuples(st.integers(0, 4), st.lists(st.integers(1, 5), min_size=1, max_size=4)), min_size=1, max_size=4
)


def layout(buckets: list[tuple[int, list[int]]]) -> tuple[PaddedBuckets, list[list[list[int]]]]:
    """A row of the buckets' prompts and samples in turn, and the row's tokens of each sample of each bucket.

    Prompts are buckets of their own.
    """
    parts: list[tuple[slice | None, torch.Tensor]] = []
    tokens: list[list[list[int]]] = []
    end = 0
    for before, lengths in buckets:
        prompt = slice(end, end + before) if before else None
        if prompt is not None:
            span = list(range(end, end + before))
            parts.append((None, torch.tensor([span])))
            tokens.append([span])
            end += before
        own = torch.full((len(lengths), max(lengths)), -1)
        for row, length in enumerate(lengths):
            own[row, :length] = torch.arange(end, end + length)
            end += length
        seen = [] if prompt is None else list(range(prompt.start, prompt.stop))
        parts.append((prompt, own))
        tokens.append([seen + [t for t in row if t >= 0] for row in own.tolist()])
    return PaddedBuckets.of(parts, end, None), tokens


@given(BUCKETS, st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_token_is_in_its_place_and_comes_back(given_buckets, heads, seed):
    buckets, tokens = layout(given_buckets)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(buckets.place_T), heads, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    parts = buckets.split(x)
    for part, rows in zip(parts, tokens, strict=True):
        for sample, seen in zip(part, rows, strict=True):
            assert torch.equal(sample[:, : len(seen)], x[seen].transpose(0, 1))
    assert torch.equal(buckets.join(parts), x)
    directions = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in parts]
    expected = torch.zeros_like(x)
    for direction, rows in zip(directions, tokens, strict=True):
        for sample, seen in enumerate(rows):
            direction[sample, :, len(seen) :] = 0.0  # of padding no gradient comes
            expected[seen] += direction[sample, :, : len(seen)].transpose(0, 1)
    [got] = torch.autograd.grad(parts, x, directions)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@given(BUCKETS.map(lambda buckets: [(0, lengths) for _, lengths in buckets]), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_no_gradient_flows_into_padding(given_buckets, seed):
    buckets, tokens = layout(given_buckets)
    generator = torch.Generator().manual_seed(seed)
    parts = [
        torch.randn(samples, 2, length, 3, generator=generator, dtype=torch.float64, requires_grad=True)
        for samples, length in buckets.shapes
    ]
    direction = torch.randn(len(buckets.place_T), 2, 3, generator=generator, dtype=torch.float64)
    for grad, rows in zip(torch.autograd.grad((buckets.join(parts) * direction).sum(), parts), tokens, strict=True):
        for sample, own in enumerate(rows):
            assert torch.equal(grad[sample, :, : len(own)], direction[own].transpose(0, 1))
            assert not grad[sample, :, len(own) :].any()
