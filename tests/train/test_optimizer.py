"""The schedule's exact ends, one AdamW step by hand, and steps that are skipped."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from afterbase.core.errors import UserError
from afterbase.train.optimizer import (
    Optimisation,
    SkippedSteps,
    adamw,
    gather_trained,
    learning_rate,
    update,
)

REPORT = Optimisation(learning_rate=5e-6, floor=1e-6)  # V3 report, section 5.1


@pytest.mark.parametrize("steps", [2, 3, 100, 977])
def test_the_schedule_begins_and_ends_exactly(steps):
    rates = [learning_rate(step, steps, REPORT) for step in range(steps)]
    assert rates[0] == 5e-6
    assert rates[-1] == 1e-6
    assert all(a > b for a, b in pairwise(rates))


def test_the_schedule_is_a_cosine():
    assert learning_rate(50, 101, REPORT) == pytest.approx(3e-6)
    assert learning_rate(25, 101, REPORT) == pytest.approx(1e-6 + 2e-6 * (1 + math.sqrt(0.5)))


def test_warm_up_is_linear_and_reaches_the_peak():
    config = Optimisation(learning_rate=4e-3, floor=1e-4, warmup_steps=4)
    rates = [learning_rate(step, 10, config) for step in range(10)]
    assert rates[:4] == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3])
    assert rates[4] == 4e-3
    assert rates[-1] == 1e-4


def test_a_single_step_takes_the_peak():
    assert learning_rate(0, 1, REPORT) == 5e-6


def toy_module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.RMSNorm(4), nn.Linear(4, 1)).double()


def test_two_steps_equal_adamw_written_out():
    """Decoupled decay, bias-corrected moments; norms and biases do not decay."""
    config = Optimisation(learning_rate=0.1, floor=0.0, betas=(0.8, 0.9), weight_decay=0.3, clip=1e9)
    module = toy_module()
    optimizer = adamw(module, config)
    expected = {name: p.detach().clone() for name, p in module.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    x = torch.randn(5, 3, dtype=torch.float64)
    for t, rate in ((1, 0.1), (2, 0.05)):
        module(x).square().sum().backward()
        for name, p in module.named_parameters():
            grad = p.grad
            assert grad is not None
            first[name] = 0.8 * first[name] + 0.2 * grad
            second[name] = 0.9 * second[name] + 0.1 * grad**2
            if name in ("0.weight", "2.weight"):
                expected[name] *= 1 - rate * 0.3
            step = (first[name] / (1 - 0.8**t)) / ((second[name] / (1 - 0.9**t)).sqrt() + 1e-8)
            expected[name] -= rate * step
        update(optimizer, rate, config)
        for name, p in module.named_parameters():
            torch.testing.assert_close(p.detach(), expected[name], rtol=0, atol=1e-12)
            assert p.grad is None


def test_only_matrices_decay(toy_lm):
    decayed, others = adamw(toy_lm.modules(), Optimisation(learning_rate=1.0, floor=0.0, weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    undecayed = {id(p) for p in others["params"]}
    names = {name for name, p in toy_lm.modules().named_parameters() if id(p) in undecayed}
    assert names == {name for name, _ in toy_lm.modules().named_parameters() if "norm" in name}
    assert len(decayed["params"]) + len(names) == len(list(toy_lm.modules().parameters()))


def test_the_gradient_is_clipped_by_its_global_norm():
    module = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(module.parameters(), lr=123.0)
    with torch.no_grad():
        module.weight.zero_()
    module.weight.grad = torch.tensor([[3.0, 4.0]])
    assert update(optimizer, 1.0, REPORT.model_copy(update={"clip": 0.5})) == (pytest.approx(5.0), True)
    torch.testing.assert_close(module.weight.detach(), torch.tensor([[-0.3, -0.4]]), rtol=0, atol=1e-5)


def test_without_any_gradient_nothing_moves():
    module = toy_module()
    before = [p.detach().clone() for p in module.parameters()]
    config = Optimisation(learning_rate=1.0, floor=0.0, weight_decay=0.5)
    assert update(adamw(module, config), 1.0, config)[0] == 0.0
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1001.0])
def test_a_gradient_that_is_not_finite_or_explodes_leaves_weights_and_optimizer_untouched(poison):
    module = toy_module()
    config = Optimisation(learning_rate=0.1, floor=0.0, weight_decay=0.5)
    optimizer = adamw(module, config)
    module(torch.ones(1, 3).double()).sum().backward()
    assert update(optimizer, 0.1, config)[1]
    weights = [p.detach().clone() for p in module.parameters()]
    moments = json.dumps(optimizer.state_dict(), default=lambda tensor: tensor.tolist())
    module(torch.ones(1, 3).double()).sum().backward()
    next(module.parameters()).grad[0, 0] = poison  # type: ignore[index]
    norm, moved = update(optimizer, 0.1, config)
    assert not moved
    assert not math.isfinite(norm) or norm > config.explosion
    assert all(torch.equal(a, b) for a, b in zip(weights, module.parameters(), strict=True))
    assert json.dumps(optimizer.state_dict(), default=lambda tensor: tensor.tolist()) == moments
    assert all(p.grad is None for p in module.parameters()), "the poison is not accumulated into the next step"


def test_skipped_steps_are_counted_and_too_many_in_a_row_stop_the_run(tmp_path):
    kept = []
    skipped = SkippedSteps(limit=3)

    def keep() -> Path:
        kept.append(1)
        return tmp_path / "batch.json"

    for moved in (False, False, True, False, False):
        skipped.see(math.nan, moved, keep)
    assert skipped.total == 4
    assert not kept
    with pytest.raises(UserError, match="finite gradients") as raised:
        skipped.see(math.inf, False, keep)
    assert raised.value.got.startswith("3 steps in a row")
    assert kept == [1]
    assert "batch.json" in raised.value.remedy


def test_trained_tokens_are_predicted_from_the_place_before():
    hidden = torch.arange(6.0)[:, None].expand(6, 2)
    trained = torch.tensor([False, True, False, False, True, True])
    states, targets = gather_trained(hidden, torch.tensor([10, 11, 12, 13, 14, 15]), trained)
    assert states[:, 0].tolist() == [0, 3, 4]
    assert targets.tolist() == [11, 14, 15]


def test_a_linear_schedule_falls_in_a_line_and_a_constant_one_stays():
    linear = Optimisation(learning_rate=1.0, floor=0.2, schedule="linear", warmup_steps=1)
    assert [learning_rate(step, 6, linear) for step in range(6)] == pytest.approx([1.0, 1.0, 0.8, 0.6, 0.4, 0.2])
    constant = Optimisation(learning_rate=1.0, schedule="constant", warmup_steps=2)
    assert [learning_rate(step, 5, constant) for step in range(5)] == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_without_a_floor_the_rate_ends_at_a_tenth():
    assert learning_rate(9, 10, Optimisation(learning_rate=1.0)) == pytest.approx(0.1)


def test_a_constant_rate_with_a_floor_is_refused():
    with pytest.raises(ValidationError, match="stays at its peak"):
        Optimisation(learning_rate=1.0, floor=0.1, schedule="constant")
