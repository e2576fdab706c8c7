"""Experts chosen in the rollout, in training: forward, gradients, and recomputed layers."""

import pytest
import torch

from afterbase.model.attention import Segments
from afterbase.model.balance import routers
from afterbase.model.routing import replay_of_row, replayed_routing

IDS = torch.arange(20, 32)
SEGMENTS = Segments.of([5, 7])


def chosen_by(lm) -> torch.Tensor:
    """(T, L, K), as the model routes by itself."""
    kept: list[torch.Tensor] = []
    handles = [r.register_forward_hook(lambda _m, _i, out: kept.append(out[2])) for r in routers(lm.model)]
    with torch.no_grad():
        lm.hidden(IDS, SEGMENTS)
    for handle in handles:
        handle.remove()
    return torch.stack(kept, dim=1)


def test_replaying_the_models_own_choice_changes_nothing(exact_lm):
    chosen = chosen_by(exact_lm)
    plain = exact_lm.hidden(IDS, SEGMENTS)
    with replayed_routing(exact_lm.model, chosen.to(torch.uint8)):
        replayed = exact_lm.hidden(IDS, SEGMENTS)
    torch.testing.assert_close(replayed, plain, rtol=0, atol=1e-12)


def test_a_moved_router_keeps_the_experts_and_changes_the_gates(exact_lm):
    chosen = chosen_by(exact_lm)
    with torch.no_grad():
        for router in routers(exact_lm.model):
            router.weight.neg_()
    assert not torch.equal(chosen_by(exact_lm), chosen)
    seen = []
    handles = [r.register_forward_hook(lambda _m, _i, out: seen.append(out)) for r in routers(exact_lm.model)]
    with replayed_routing(exact_lm.model, chosen):
        pass
    for handle in handles:
        handle.remove()
    with replayed_routing(exact_lm.model, chosen):
        handles = [r.register_forward_hook(lambda _m, _i, out: seen.append(out)) for r in routers(exact_lm.model)]
        exact_lm.hidden(IDS, SEGMENTS).sum().backward()
    for handle in handles:
        handle.remove()
    assert torch.equal(torch.stack([out[2] for out in seen], 1), chosen)
    scale = routers(exact_lm.model)[0].routed_scaling_factor
    for logits, gates, experts in seen:
        scores = logits.sigmoid().gather(1, experts)
        torch.testing.assert_close(gates, scores / scores.sum(1, keepdim=True) * scale)
    assert all(router.weight.grad is not None and router.weight.grad.any() for router in routers(exact_lm.model))


def test_afterwards_the_model_routes_by_itself_again(exact_lm):
    chosen = chosen_by(exact_lm)
    with pytest.raises(KeyError), replayed_routing(exact_lm.model, chosen.flip(0)):
        raise KeyError
    assert torch.equal(chosen_by(exact_lm), chosen)


def test_recomputed_layers_replay_too(exact_lm):
    """The gradient under recomputation equals that without it."""
    chosen = chosen_by(exact_lm).flip(0)
    gradients = []
    for recompute in (False, True):
        if recompute:
            exact_lm.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
            exact_lm.model.train()
        with replayed_routing(exact_lm.model, chosen):
            exact_lm.hidden(IDS, SEGMENTS).square().sum().backward()
        gradients.append([p.grad.clone() for p in exact_lm.model.model.parameters() if p.grad is not None])
        exact_lm.model.zero_grad()
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=0, atol=1e-12)


def test_of_a_row_prompts_come_once_and_answers_without_their_last_token():
    """Two answers of 3 and 1 tokens to a prompt of 2, whose records cover 2 + 2 and 2 + 0 positions."""
    routed = [torch.arange(4).view(4, 1, 1), torch.arange(10, 12).view(2, 1, 1)]
    row = replay_of_row([(0, True), (0, False)], [2, 2], routed)
    assert row.flatten().tolist() == [0, 1, 2, 3]
