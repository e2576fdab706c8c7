"""The norm against its formula, forward and backward, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.model.fused.rms_norm import rms_norm


def by_formula(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.sampled_from([1e-6, 0.3]), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_equals_the_formula(shape, epsilon, seed):
    generator = torch.Generator().manual_seed(seed)
    x, direction = (torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(2))
    weight = torch.randn(shape[-1], generator=generator, dtype=torch.float64)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    ours, theirs = rms_norm(x, weight, epsilon), by_formula(x, weight, epsilon)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for got, expected in zip(
        *(torch.autograd.grad((out * direction).sum(), leaves) for out in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frozen", ["x", "weight"])
def test_what_is_frozen_gets_no_gradient(frozen):
    leaves = {"x": torch.randn(2, 3, dtype=torch.float64), "weight": torch.ones(3, dtype=torch.float64)}
    for name, leaf in leaves.items():
        leaf.requires_grad_(name != frozen)
    rms_norm(leaves["x"], leaves["weight"], 1e-6).sum().backward()
    assert {name for name, leaf in leaves.items() if leaf.grad is None} == {frozen}


def test_part_of_a_wider_tensor():
    """Latents are a slice of what one projection gives."""
    wide = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda wide, weight: rms_norm(wide[:, :3], weight, 0.1), (wide, weight))
