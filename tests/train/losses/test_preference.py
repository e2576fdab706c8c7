"""Bradley-Terry against the formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.train.losses.preference import bradley_terry_loss

scores = st.floats(-30, 30)


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=6))
@settings(deadline=None)
def test_is_minus_log_sigmoid_of_the_difference_summed(pairs):
    chosen, rejected = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    expected = sum(-math.log(1 / (1 + math.exp(-(c - r)))) for c, r in pairs)
    assert bradley_terry_loss(chosen, rejected).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_gradient_pulls_apart_by_the_probability_of_being_wrong():
    chosen = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([0.0, -1.0], dtype=torch.float64, requires_grad=True)
    bradley_terry_loss(chosen, rejected).backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    wrong = torch.tensor([0.5, 1 / (1 + math.exp(3))], dtype=torch.float64)
    torch.testing.assert_close(chosen.grad, -wrong)
    torch.testing.assert_close(rejected.grad, wrong)


def test_a_hopeless_pair_stays_finite():
    loss = bradley_terry_loss(torch.tensor([-1e4]), torch.tensor([1e4]))
    assert loss.item() == 2e4
