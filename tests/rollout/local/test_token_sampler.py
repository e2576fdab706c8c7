"""The sampler against the distribution it claims."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afterbase.rollout.local.token_sampler import greedy, sample, sample_top_p, uniforms


@given(st.integers(0, 2**40), st.lists(st.integers(0, 2000), min_size=1, max_size=20), st.integers(0, 100))
def test_uniforms_are_a_function_of_seed_prompt_and_sample(seed, prompt, index):
    drawn = uniforms(seed=seed, prompt=prompt, sample=index, count=5)
    assert ((drawn > 0) & (drawn <= 1)).all()
    np.testing.assert_array_equal(drawn, uniforms(seed=seed, prompt=tuple(prompt), sample=index, count=9)[:5])
    for other in (
        uniforms(seed=seed + 1, prompt=prompt, sample=index, count=5),
        uniforms(seed=seed, prompt=[*prompt, 0], sample=index, count=5),
        uniforms(seed=seed, prompt=prompt, sample=index + 1, count=5),
    ):
        assert (drawn != other).all()


def test_uniforms_never_change():
    """Pinned: stored rollouts must be repeatable by later versions."""
    drawn = uniforms(seed=7, prompt=[1, 2, 3], sample=4, count=3)
    np.testing.assert_array_equal(drawn, [0.6105851207482941, 0.47677010457555247, 0.9452724018054532])


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_chi_square(temperature):
    """20,000 first draws, each of another prompt: chi-square below its 1 - 1e-4 quantile."""
    logits = torch.tensor([2.0, 0.5, -1.0, 1.5, -3.0, 0.0])
    count = 20_000
    drawn = torch.tensor([uniforms(seed=0, prompt=[i], sample=0, count=1)[0] for i in range(count)])
    tokens, logps = sample(logits.expand(count, -1), drawn, temperature=temperature)
    expected = count * torch.softmax(logits.double() / temperature, -1)
    observed = torch.bincount(tokens, minlength=len(logits))
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    assert chi_square < 25.75  # five degrees of freedom
    torch.testing.assert_close(logps, torch.log_softmax(logits / temperature, -1)[tokens])


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=40), st.floats(0.1, 3.0), st.randoms())
def test_tokens_of_probability_zero_are_never_drawn(values, temperature, rng):
    forbidden = [rng.random() < 0.5 for _ in values]
    forbidden[rng.randrange(len(values))] = False
    logits = torch.tensor(values).masked_fill(torch.tensor(forbidden), -torch.inf)
    drawn = torch.tensor([2.0**-53, 1.0, *(1 - rng.random() for _ in range(20))], dtype=torch.float64)
    tokens, logps = sample(logits.expand(len(drawn), -1), drawn, temperature=temperature)
    assert not any(forbidden[token] for token in tokens.tolist())
    torch.testing.assert_close(logps, torch.log_softmax(logits / temperature, -1)[tokens], atol=1e-5, rtol=1e-5)


def test_the_least_uniform_draws_the_first_token_and_the_largest_the_last():
    logits = torch.zeros(2, 5)
    tokens, _ = sample(logits, torch.tensor([2.0**-53, 1.0], dtype=torch.float64), temperature=1.0)
    assert tokens.tolist() == [0, 4]


def test_greedy_takes_the_first_maximum_and_reports_at_temperature_one():
    logits = torch.tensor([[0.0, 3.0, 3.0], [1.0, -1.0, 0.0]])
    tokens, logps = greedy(logits)
    assert tokens.tolist() == [1, 0]
    torch.testing.assert_close(logps, torch.log_softmax(logits, -1)[[0, 1], tokens])


def nucleus(probability: np.ndarray, top_p: float) -> set[int]:
    """Written out: tokens from the most probable down until their mass reaches top_p."""
    kept: set[int] = set()
    mass = 0.0
    for token in sorted(range(len(probability)), key=lambda token: (-probability[token], token)):
        if mass >= top_p:
            break
        kept.add(token)
        mass += float(probability[token])
    return kept


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 7, 60, 1000]),
    st.floats(0.05, 0.99),
    st.sampled_from([0.7, 1.0, 1.3]),
)
def test_top_p_draws_from_the_smallest_set_that_reaches_it(seed, vocabulary, top_p, temperature):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, vocabulary, generator=generator) * 3
    drawn = 1 - torch.rand(5, generator=generator, dtype=torch.float64)
    tokens, logps, kept = sample_top_p(logits, drawn, temperature=temperature, top_p=top_p)
    probability = torch.softmax(logits / temperature, -1).double().numpy()
    for row in range(5):
        expected = nucleus(probability[row], top_p)
        # A sum that lands on top_p but for rounding may count either way.
        assert len(expected ^ set(kept[row].nonzero()[:, 0].tolist())) <= 1
        inside = np.where(kept[row].numpy(), probability[row], 0.0)
        inside /= inside.sum()
        assert inside[int(tokens[row])] > 0
        assert float(logps[row]) == pytest.approx(np.log(inside[int(tokens[row])]), abs=1e-5)
        cumulative = inside.cumsum()
        assert cumulative[int(tokens[row])] >= drawn[row] - 1e-6
        assert cumulative[int(tokens[row])] - inside[int(tokens[row])] <= drawn[row] + 1e-6


def test_top_p_keeps_equally_probable_tokens_of_lower_ids():
    *_, kept = sample_top_p(torch.zeros(1, 4), torch.ones(1, dtype=torch.float64), temperature=1.0, top_p=0.5)
    assert kept.tolist() == [[True, True, False, False]]


def test_top_p_of_almost_nothing_is_greedy():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    tokens, logps, _ = sample_top_p(logits, torch.rand(6, dtype=torch.float64), temperature=1.0, top_p=1e-6)
    assert tokens.tolist() == logits.argmax(-1).tolist()
    assert logps.tolist() == [0.0] * 6
