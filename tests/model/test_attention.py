"""Packed rows against each sample run alone through transformers' own attention."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transformers import DeepseekV3ForCausalLM

from afterbase.model.attention import Segments, packed_attention
from afterbase.model.attention_variant import PLAIN, AttentionVariant

LENGTHS = st.lists(st.integers(1, 24), min_size=1, max_size=7)


@st.composite
def variants(draw: st.DrawFn) -> AttentionVariant:
    """Of four heads."""
    sinks = torch.randn(4, generator=torch.Generator().manual_seed(draw(st.integers(0, 9))), dtype=torch.float64)
    return AttentionVariant(
        window=draw(st.none() | st.integers(1, 12)),
        cap=draw(st.sampled_from([None, 0.5, 3.0])),
        sinks=draw(st.sampled_from([None, sinks])),
    )


@given(LENGTHS)
@settings(deadline=None)
@example([1])
@example([1, 1, 1])
@example([100, 1, 64, 2, 63])
def test_indices_lead_every_token_to_its_bucket_and_back(lengths):
    segments = Segments.of(lengths)
    assert segments.position_ids.tolist() == [at for n in lengths for at in range(n)]
    assert segments.sample_ids.tolist() == [sample for sample, n in enumerate(lengths) for _ in range(n)]
    assert segments.keys is segments.queries
    tokens = torch.arange(sum(lengths)).view(-1, 1, 1)
    in_buckets = [part[:, 0, :, 0].tolist() for part in segments.queries.split(tokens)]
    begins = {0, *torch.tensor(lengths).cumsum(0).tolist()}
    samples = [row for bucket in in_buckets for row in bucket]
    assert {row[0] for row in samples} | {sum(lengths)} == begins, "a bucket's row begins with a sample"
    assert len(samples) == len(lengths), "and holds one sample"
    assert segments.queries.join(segments.queries.split(tokens)).tolist() == tokens.tolist()


@given(LENGTHS)
@settings(deadline=None)
def test_padding_is_bounded(lengths):
    for samples, longest in Segments.of(lengths).queries.shapes:
        assert samples * longest <= sum(n * 1.25 + 8 for n in lengths)


@pytest.mark.parametrize("lengths", [[], [0], [3, 0, 2]])
def test_a_sample_without_tokens_is_our_own_bug(lengths):
    with pytest.raises(AssertionError, match="at least one token"):
        Segments.of(lengths)


@given(LENGTHS, st.sampled_from([(4, 4), (4, 2), (4, 1)]), variants(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
@example([20, 3], (4, 2), AttentionVariant(window=5), 0)
def test_each_sample_attends_to_itself_alone(lengths, heads, variant, seed):
    """Values and gradients of the kernel itself, in float64; grouped-query attention and unequal widths too."""
    generator = torch.Generator().manual_seed(seed)
    query_heads, key_heads = heads

    def draw(count: int, width: int) -> torch.Tensor:
        return torch.randn(1, count, sum(lengths), width, generator=generator, dtype=torch.float64, requires_grad=True)

    q, k, v = draw(query_heads, 6), draw(key_heads, 6), draw(key_heads, 5)
    direction = torch.randn(1, sum(lengths), query_heads, 5, generator=generator, dtype=torch.float64)
    packed, _ = packed_attention(
        torch.nn.Identity(), q, k, v, None, segments=Segments.of(lengths), scaling=0.3, **of_family(variant)
    )
    alone = torch.cat(
        [
            naive_attention(*part, scaling=0.3, variant=variant).transpose(1, 2)
            for part in zip(*(x.split(lengths, dim=2) for x in (q, k, v)), strict=True)
        ],
        dim=1,
    )
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad((packed * direction).sum(), (q, k, v)),
        torch.autograd.grad((alone * direction).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def naive_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, scaling: float, variant: AttentionVariant = PLAIN
) -> torch.Tensor:
    """One token at a time, as the formulas are printed."""
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    rows = []
    for token in range(q.shape[2]):
        first = 0 if variant.window is None else max(0, token - variant.window + 1)
        seen = slice(first, token + 1)
        scores = (q[:, :, token, None] * k[:, :, seen]).sum(-1) * scaling
        if variant.cap is not None:
            scores = variant.cap * torch.tanh(scores / variant.cap)
        total = scores.exp().sum(-1) + (0.0 if variant.sinks is None else variant.sinks.exp())
        rows.append((scores.exp()[..., None] * v[:, :, seen]).sum(2) / total[..., None])
    return torch.stack(rows, 2)


def of_family(variant: AttentionVariant) -> dict[str, Any]:
    """As transformers hands it on."""
    return {"sliding_window": variant.window, "softcap": variant.cap, "s_aux": variant.sinks}


def plain_copy(lm, implementation: str) -> DeepseekV3ForCausalLM:
    """The same weights in a model of transformers' own parts, in float64."""
    config = type(lm.model.config)(**lm.model.config.to_dict())
    config._attn_implementation, config._experts_implementation = implementation, "eager"
    unpacked = DeepseekV3ForCausalLM(config).double().eval()
    unpacked.load_state_dict(lm.model.state_dict())
    return unpacked


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_packed_rows_equal_samples_run_alone(exact_lm, implementation):
    """Hidden states and the gradients of all weights."""
    model, unpacked = exact_lm.model, plain_copy(exact_lm, implementation)

    @given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 1000))
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @example([1], 0)
    @example([1, 1, 17, 1, 2], 1)
    def check(lengths: list[int], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(model.config.vocab_size, (sum(lengths),), generator=generator)
        packed = exact_lm.hidden(ids, Segments.of(lengths))
        alone = torch.cat([unpacked.model(input_ids=part[None]).last_hidden_state[0] for part in ids.split(lengths)])
        torch.testing.assert_close(packed, alone, rtol=0, atol=1e-9)
        direction = torch.randn(packed.shape, generator=generator, dtype=torch.float64)
        ours, theirs = (
            torch.autograd.grad((hidden * direction).sum(), list(trunk.parameters()), materialize_grads=True)
            for trunk, hidden in ((model.model, packed), (unpacked.model, alone))
        )
        for (name, _), our_grad, their_grad in zip(model.model.named_parameters(), ours, theirs, strict=True):
            torch.testing.assert_close(our_grad, their_grad, rtol=0, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")

    check()


TREES = st.lists(st.tuples(st.integers(1, 20), st.lists(st.integers(1, 14), max_size=5)), min_size=1, max_size=3)


@given(TREES, st.sampled_from([(4, 4), (4, 2)]), variants(), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
@example([(1, [1, 1]), (3, []), (9, [2, 14])], (4, 2), PLAIN, 0)
@example([(9, [2, 14])], (4, 2), AttentionVariant(window=4), 0)
def test_answers_see_their_prompt_and_themselves(trees, heads, variant, seed):
    """Against every answer run alone after a copy of its prompt, values and gradients, in float64."""
    generator = torch.Generator().manual_seed(seed)
    lengths, continues = [], []
    for prompt, answers in trees:
        root = len(lengths)
        lengths += [prompt, *answers]
        continues += [None, *[root] * len(answers)]

    def draw(count: int, width: int) -> torch.Tensor:
        return torch.randn(1, count, sum(lengths), width, generator=generator, dtype=torch.float64, requires_grad=True)

    q, k, v = draw(heads[0], 6), draw(heads[1], 6), draw(heads[1], 5)
    segments = Segments.of(lengths, continues=continues)
    packed, _ = packed_attention(
        torch.nn.Identity(), q, k, v, None, segments=segments, scaling=0.3, **of_family(variant)
    )
    spans = torch.arange(sum(lengths)).split(lengths)
    alone = []
    for span, before in zip(spans, continues, strict=True):
        seen = span if before is None else torch.cat((spans[before], span))
        out = naive_attention(*(x[:, :, seen] for x in (q, k, v)), scaling=0.3, variant=variant)
        alone.append(out[:, :, -len(span) :].transpose(1, 2))
        assert segments.position_ids[span].tolist() == list(range(len(seen) - len(span), len(seen)))
    expected = torch.cat(alone, 1)
    torch.testing.assert_close(packed, expected, rtol=0, atol=1e-12)
    direction = torch.randn(packed.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad((packed * direction).sum(), (q, k, v)),
        torch.autograd.grad((expected * direction).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_an_answer_to_an_answer_is_our_own_bug():
    with pytest.raises(AssertionError, match="continues nothing itself"):
        Segments.of([2, 3, 4], continues=[None, 0, 1])


def test_neighbours_are_invisible(toy_lm):
    """Not one bit of a sample changes with what lies beside it."""
    lengths = [5, 1, 9, 5]
    ids = torch.randint(400, (20,), generator=torch.Generator().manual_seed(0))
    before = toy_lm.hidden(ids, Segments.of(lengths))
    changed = ids.clone()
    changed[6:15] = (changed[6:15] + 7) % 400
    after = toy_lm.hidden(changed, Segments.of(lengths))
    kept = torch.ones(20, dtype=torch.bool)
    kept[6:15] = False
    torch.testing.assert_close(after[kept], before[kept], rtol=0, atol=1e-6)
    assert (after[6:15] - before[6:15]).abs().min(dim=0).values.max() > 1e-3


def test_gradients_stay_within_a_sample(toy_lm):
    lengths = [4, 1, 6]
    ids = torch.arange(11)
    embedded: list[torch.Tensor] = []

    def keep(_module: object, _inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    handle = toy_lm.model.model.embed_tokens.register_forward_hook(keep)
    hidden = toy_lm.hidden(ids, Segments.of(lengths))
    handle.remove()
    hidden[4:5].sum().backward()
    grad = embedded[0].grad
    assert grad is not None
    reached = (grad[0].abs().sum(-1) > 0).tolist()
    assert reached == [False] * 4 + [True] + [False] * 6


def test_a_call_without_boundaries_is_an_error(toy_lm):
    with pytest.raises(TypeError, match="segments"):
        toy_lm.model(input_ids=torch.arange(6)[None])


def test_masks_and_batches_are_our_own_bug():
    q = torch.zeros(2, 1, 3, 4)
    with pytest.raises(AssertionError):
        packed_attention(torch.nn.Identity(), q, q, q, None, segments=Segments.of([3]), scaling=1.0)
    q = q[:1]
    mask = torch.zeros(1, 1, 3, 3)
    with pytest.raises(AssertionError):
        packed_attention(torch.nn.Identity(), q, q, q, mask, segments=Segments.of([3]), scaling=1.0)
