"""Chunked log-probabilities against softmax written out, values and gradients."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from afterbase.model.head import Head
from afterbase.train import logprobs as tokens
from afterbase.train.logprobs import token_logps


def draw(positions: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(positions, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    head = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    return hidden, head, torch.randint(7, (positions,), generator=generator)


@given(st.integers(1, 12), st.floats(0.2, 3.0), st.integers(1, 12), st.integers(0, 1000))
@settings(deadline=None)
def test_equals_softmax_at_any_temperature_and_chunk(positions, temperature, chunk, seed):
    hidden, head, targets = draw(positions, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_CHUNK_BYTES", chunk * 7 * 8)
        ours = token_logps(hidden, head, targets, temperature=temperature)
    probability = ((hidden @ head.T) / temperature).softmax(-1)
    theirs = probability[torch.arange(positions), targets].log()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    our_grads, their_grads = (torch.autograd.grad(x.sin().sum(), (hidden, head)) for x in (ours, theirs))
    for our_grad, their_grad in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(our_grad, their_grad, rtol=0, atol=1e-9)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
@settings(deadline=None)
def test_within_the_kept_tokens_it_is_their_own_softmax(positions, chunk, seed):
    """A vocabulary of seven in one byte; the target is always kept."""
    hidden, head, targets = draw(positions, seed)
    kept = torch.rand(positions, 7, generator=torch.Generator().manual_seed(seed)) < 0.5
    kept[torch.arange(positions), targets] = True
    packed = torch.from_numpy(np.packbits(kept.numpy(), axis=1, bitorder="little"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_CHUNK_BYTES", chunk * 7 * 8)
        ours = token_logps(hidden, head, targets, temperature=0.7, kept_NB=packed)
    probability = ((hidden @ head.T) / 0.7).masked_fill(~kept, -torch.inf).softmax(-1)
    theirs = probability[torch.arange(positions), targets].log()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    our_grads, their_grads = (torch.autograd.grad(x.sin().sum(), (hidden, head)) for x in (ours, theirs))
    for our_grad, their_grad in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(our_grad, their_grad, rtol=0, atol=1e-9)


HEADS = {
    "bias": {"bias": True},
    "scale": {"scale": 0.0625},
    "cap": {"cap": 3.0},
    "all": {"bias": True, "scale": 1.7, "cap": 2.0},
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chunk", [1, 3, 9])
@pytest.mark.parametrize("kind", HEADS)
def test_bias_scale_and_cap_are_part_of_it_backward_too(kind, chunk, masked, monkeypatch):
    monkeypatch.setattr(tokens, "_CHUNK_BYTES", chunk * 7 * 8)
    hidden, weight, targets = draw(9, 3)
    options = HEADS[kind]
    generator = torch.Generator().manual_seed(4)
    bias = torch.randn(7, generator=generator, dtype=torch.float64, requires_grad=True) if "bias" in options else None
    head = Head(weight, bias, options.get("scale", 1.0), options.get("cap"))
    kept = torch.rand(9, 7, generator=generator) < 0.6
    kept[torch.arange(9), targets] = True
    packed = torch.from_numpy(np.packbits(kept.numpy(), axis=1, bitorder="little")) if masked else None
    ours = token_logps(hidden, head, targets, temperature=0.7, kept_NB=packed)
    z = hidden @ weight.T if bias is None else hidden @ weight.T + bias
    logits = z * head.scale
    logits = logits if head.cap is None else head.cap * (logits / head.cap).tanh()
    logits = (logits / 0.7).masked_fill(~kept if masked else torch.zeros_like(kept), -torch.inf)
    theirs = logits.log_softmax(-1)[torch.arange(9), targets]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
    moved = (hidden, weight) if bias is None else (hidden, weight, bias)
    our_grads, their_grads = (torch.autograd.grad(x.sin().sum(), moved) for x in (ours, theirs))
    for our_grad, their_grad in zip(our_grads, their_grads, strict=True):
        torch.testing.assert_close(our_grad, their_grad, rtol=0, atol=1e-9)


def test_without_a_temperature_it_is_one():
    hidden, head, targets = draw(5, 0)
    assert torch.equal(token_logps(hidden, head, targets), token_logps(hidden, head, targets, temperature=1.0))


def test_no_positions_are_no_log_probabilities():
    hidden, head, targets = draw(5, 0)
    nothing = token_logps(hidden[:0], head, targets[:0])
    assert nothing.shape == (0,)
    nothing.sum().backward()
    assert head.grad is not None
    assert not head.grad.any()


@pytest.mark.parametrize("chunk", [3, 50])
def test_under_autocast_products_are_rough_and_the_softmax_is_not(chunk, monkeypatch):
    hidden, head, targets = draw(9, 0)
    hidden, head = (x.detach().float().requires_grad_() for x in (hidden, head))
    monkeypatch.setattr(tokens, "_CHUNK_BYTES", chunk * 7 * 4)
    with torch.autocast("cpu", torch.bfloat16):
        rough = token_logps(hidden, head, targets)
    exact = token_logps(hidden, head, targets)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.1)
    assert not torch.equal(rough, exact)
    gradients = [torch.autograd.grad(x.sum(), (hidden, head)) for x in (rough, exact)]
    for ours, theirs in zip(*gradients, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0.2)


def test_a_hot_policy_is_uniform():
    hidden, head, targets = draw(5, 0)
    hot = token_logps(hidden, head, targets, temperature=1e9)
    torch.testing.assert_close(hot, torch.full_like(hot, -math.log(7)), rtol=0, atol=1e-6)


class _Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation gives."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, list | tuple) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_logits_of_one_chunk_are_the_most_that_exist_in_backward_too(monkeypatch):
    positions, vocabulary, chunk = 64, 4096, 8
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(positions, 4, generator=generator, requires_grad=True)
    head = torch.randn(vocabulary, 4, generator=generator, requires_grad=True)
    targets = torch.randint(vocabulary, (positions,), generator=generator)
    monkeypatch.setattr(tokens, "_CHUNK_BYTES", chunk * vocabulary * 4)
    with _Largest() as largest:
        token_logps(hidden, head, targets).sum().backward()
    assert largest.numel == chunk * vocabulary
