"""Running parts of a model forward, and gathering its weights, in one process; two are tested in `train/test_ranks`."""

import torch
from torch import nn

from afterbase.model.parallel import backward, direct, sharded, whole_state


def toy_modules() -> nn.ModuleDict:
    torch.manual_seed(0)
    first, second = nn.Linear(3, 4), nn.Linear(3, 4)
    second.weight = first.weight
    return nn.ModuleDict({"first": first, "second": second})


def test_alone_a_computation_runs_as_it_is():
    modules = toy_modules()
    forward, x = sharded(modules), torch.ones(1, 3)
    expected = direct(lambda: modules["first"](x))
    assert torch.equal(forward(lambda: modules["first"](x)), expected)
    assert [type(p) for p in modules.parameters()] == [nn.Parameter] * 3


def test_in_bfloat16_products_are_rough_and_gradients_are_not():
    modules = toy_modules()
    forward, x = sharded(modules, bfloat16=True), torch.ones(1, 3)
    out = forward(lambda: modules["first"](x))
    assert out.dtype == torch.bfloat16
    assert modules["first"](x).dtype == torch.float32, "outside of it nothing changes"
    backward(out.float().sum())
    assert modules["first"].weight.grad.dtype == torch.float32  # type: ignore[union-attr]  # a Linear has a weight


def test_a_part_gives_its_gradients_and_its_value():
    weight = nn.Parameter(torch.tensor([2.0, 3.0]))
    assert backward((weight * torch.tensor([1.0, 4.0])).sum()) == 14.0
    assert weight.grad is not None
    assert weight.grad.tolist() == [1.0, 4.0]


def test_tied_weights_are_gathered_once_and_a_copy_stays_as_it_was():
    modules = toy_modules()
    live, copied = whole_state(modules), whole_state(modules, copy=True)
    assert set(live) == {"first.weight", "first.bias", "second.weight", "second.bias"}
    for state in (live, copied):
        assert state["first.weight"] is state["second.weight"]
        assert not state["first.weight"].requires_grad
    before = copied["first.weight"].clone()
    with torch.no_grad():
        next(modules.parameters()).add_(1.0)
    assert torch.equal(copied["first.weight"], before)
    assert torch.equal(live["first.weight"], before + 1.0)
