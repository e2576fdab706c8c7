"""The sorted pass against transformers' own loop over experts, forward and backward."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Experts

from afterbase.model import experts
from afterbase.model.experts import Pairs, sorted_experts

EXPERTS, HIDDEN = 6, 5


def toy_experts(implementation: str = "eager") -> DeepseekV3Experts:
    config = DeepseekV3Config(hidden_size=HIDDEN, moe_intermediate_size=4, n_routed_experts=EXPERTS)
    config._experts_implementation = implementation
    module = DeepseekV3Experts(config).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


@st.composite
def routings(draw) -> list[list[int]]:
    """(tokens, k): each token's experts, all different; narrow ranges leave experts without tokens."""
    k = draw(st.integers(1, 3))
    last = draw(st.integers(k - 1, EXPERTS - 1))
    return draw(st.lists(st.permutations(range(last + 1)).map(lambda order: list(order[:k])), min_size=1, max_size=9))


@given(routings(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_equals_transformers_forward_and_backward(routing, seed):
    module, generator = toy_experts(), torch.Generator().manual_seed(seed)
    chosen = torch.tensor(routing)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    hidden, weights, direction = draw(len(chosen), HIDDEN), draw(*chosen.shape), draw(len(chosen), HIDDEN)
    leaves = [hidden, weights, *module.parameters()]
    ours, theirs = sorted_experts(module, hidden, chosen, weights), module(hidden, chosen, weights)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    our_grads, their_grads = (torch.autograd.grad((out * direction).sum(), leaves) for out in (ours, theirs))
    for our_grad, their_grad in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(our_grad, their_grad, rtol=0, atol=1e-11)


def test_experts_without_tokens_get_a_gradient_of_zero():
    module = toy_experts()
    hidden = torch.randn(3, HIDDEN, dtype=torch.float64)
    out = sorted_experts(module, hidden, torch.tensor([[1], [4], [1]]), torch.ones(3, 1, dtype=torch.float64))
    out.sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert [bool(grad.any()) for grad in parameter.grad] == [False, True, False, False, True, False]


def test_frozen_experts_get_no_gradient():
    module = toy_experts().requires_grad_(False)
    hidden = torch.randn(3, HIDDEN, dtype=torch.float64, requires_grad=True)
    sorted_experts(
        module, hidden, torch.tensor([[1], [4], [1]]), torch.ones(3, 1, dtype=torch.float64)
    ).sum().backward()
    assert hidden.grad is not None
    assert all(parameter.grad is None for parameter in module.parameters())


@given(routings())
@settings(max_examples=30, deadline=None)
def test_pairs_are_sorted_by_expert_and_then_by_token(routing):
    pairs = Pairs.of(torch.tensor(routing), EXPERTS)
    places = [(expert, token) for token, experts in enumerate(routing) for expert in experts]
    found = [(places[place][0], int(token)) for place, token in zip(pairs.order_N, pairs.tokens, strict=True)]
    assert found == sorted(places)
    assert pairs.order_N[pairs.places_TK].flatten().tolist() == list(range(len(places)))
    assert pairs.loads == [sum(expert == e for expert, _ in places) for e in range(EXPERTS)]


def test_autocast_computes_products_in_its_type():
    module = toy_experts().float()
    hidden, chosen, weights = torch.randn(4, HIDDEN), torch.tensor([[0, 1], [2, 3], [5, 4], [0, 5]]), torch.rand(4, 2)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = (f(module, hidden, chosen, weights) for f in (sorted_experts, type(module).forward))
    assert ours.dtype == hidden.dtype
    torch.testing.assert_close(ours, theirs.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_result_has_the_dtype_of_the_hidden_states(dtype):
    """Routers give float32 weights in a model of any dtype."""
    module = toy_experts().to(dtype)
    hidden, chosen, weights = torch.randn(2, HIDDEN).to(dtype), torch.tensor([[0, 1], [2, 3]]), torch.rand(2, 2)
    ours, theirs = sorted_experts(module, hidden, chosen, weights), module(hidden, chosen, weights)
    assert ours.dtype == theirs.dtype == dtype
    torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.05, atol=0.05)


def test_transformers_finds_it_by_name():
    module = toy_experts(experts.register())
    hidden, chosen = torch.randn(4, HIDDEN, dtype=torch.float64), torch.tensor([[0, 1], [2, 3], [5, 4], [0, 5]])
    weights = torch.rand(4, 2, dtype=torch.float64)
    assert torch.equal(module(hidden, chosen, weights), sorted_experts(module, hidden, chosen, weights))
