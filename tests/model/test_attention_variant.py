"""Windows, caps and sinks: what a token sees, and that a sequence read in two parts is the sequence."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afterbase.model.attention_variant import AttentionVariant, causal_attention, softmax_beside_sinks, visible

CPU = torch.device("cpu")


@given(st.integers(1, 9), st.integers(0, 9), st.none() | st.integers(1, 20))
def test_a_token_sees_itself_and_what_is_within_its_window(tokens, before, window):
    seen = visible(tokens, before, window, CPU)
    for token in range(tokens):
        position = before + token
        first = 0 if window is None else max(0, position - window + 1)
        assert seen[token].nonzero().flatten().tolist() == list(range(first, position + 1))


@given(
    st.integers(1, 12), st.integers(1, 12), st.none() | st.integers(1, 20), st.sampled_from([None, 0.7]), st.booleans()
)
@settings(max_examples=40, deadline=None)
@example(5, 5, 3, None, False)
def test_the_second_part_of_a_sequence_attends_as_in_the_whole(before, tokens, window, cap, with_sinks):
    generator = torch.Generator().manual_seed(before * 31 + tokens)

    def draw(heads: int) -> torch.Tensor:
        return torch.randn(2, heads, before + tokens, 6, generator=generator, dtype=torch.float64)

    q, k, v = draw(4), draw(2), draw(2)
    sinks = torch.randn(4, generator=generator, dtype=torch.float64) if with_sinks else None
    variant = AttentionVariant(window=window, cap=cap, sinks=sinks)
    whole = causal_attention(q, k, v, variant, scaling=0.4)
    part = causal_attention(q[:, :, before:], k, v, variant, scaling=0.4, before=before)
    torch.testing.assert_close(part, whole[:, :, before:], rtol=0, atol=1e-12)


def test_a_sink_takes_its_share_of_the_weights():
    scores = torch.tensor([[0.0, 1.0, 2.0]])
    weights = softmax_beside_sinks(scores, torch.tensor([1.5]))
    torch.testing.assert_close(weights, scores.exp() / (scores.exp().sum() + torch.tensor(1.5).exp()))
    assert softmax_beside_sinks(scores, torch.tensor([-1e4])).sum() == 1


def test_transformers_names_are_read():
    sinks = torch.zeros(4)
    options = {"sliding_window": 8, "softcap": 2.0, "s_aux": sinks, "dropout": 0.0}
    assert AttentionVariant.of(options) == AttentionVariant(8, 2.0, sinks)
    assert AttentionVariant.of({}) == AttentionVariant()
