"""Heads against transformers' own rotation and expansion: what queries and keys come to together, and gradients."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.deepseek_v3.modeling_deepseek_v3 import apply_rotary_pos_emb_interleave

from afterbase.model.fused.latent_heads import latent_heads


def by_transformers(
    query: torch.Tensor, expanded: torch.Tensor, key: torch.Tensor, angles: torch.Tensor, heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values (heads, tokens, ...) as in DeepseekV3Attention.forward."""
    rope, plain = key.shape[1], query.shape[1] // heads - key.shape[1]
    cos, sin = (torch.cat((f(angles), f(angles)), -1)[None] for f in (torch.cos, torch.sin))
    q_HTD = query.unflatten(1, (heads, -1)).transpose(0, 1)
    q_rot, k_rot = apply_rotary_pos_emb_interleave(q_HTD[None, ..., plain:], key[None, None], cos, sin)
    k_HTe = expanded.unflatten(1, (heads, -1)).transpose(0, 1)
    q = torch.cat((q_HTD[..., :plain], q_rot[0]), -1)
    k = torch.cat((k_HTe[..., :plain], k_rot[0].expand(heads, -1, rope)), -1)
    return q, k, k_HTe[..., plain:]


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([(2, 2, 3), (4, 6, 2), (0, 4, 1)]), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_scores_values_and_gradients_are_those_of_transformers(tokens, heads, widths, seed):
    plain, rope, value = widths
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    leaves = [draw(tokens, heads * (plain + rope)), draw(tokens, heads * (plain + value)), draw(tokens, rope)]
    for leaf in leaves:
        leaf.requires_grad_()
    angles = draw(tokens, rope // 2)
    turn = torch.polar(torch.ones_like(angles), angles)
    q, k, v = (x.transpose(0, 1) for x in latent_heads(*leaves, rotation=turn, heads=heads))
    q2, k2, v2 = by_transformers(*leaves, angles=angles, heads=heads)
    torch.testing.assert_close(q @ k.mT, q2 @ k2.mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(v, v2, rtol=0, atol=0)
    of_scores, of_values = draw(heads, tokens, tokens), draw(heads, tokens, value)
    ours = torch.autograd.grad((q @ k.mT * of_scores).sum() + (v * of_values).sum(), leaves)
    theirs = torch.autograd.grad((q2 @ k2.mT * of_scores).sum() + (v2 * of_values).sum(), leaves)
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-11)


def test_what_is_given_stays_as_it_was():
    """The rotation is in place, of copies alone."""
    given_ = [torch.randn(2, 4), torch.randn(2, 4), torch.randn(2, 2)]
    before = [x.clone() for x in given_]
    latent_heads(*given_, rotation=torch.polar(torch.ones(2, 1), torch.ones(2, 1)), heads=1)
    for x, kept in zip(given_, before, strict=True):
        assert torch.equal(x, kept)
