"""Bradley-Terry, DPO and KTO against their formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.train.preference.losses import bradley_terry_loss, dpo_loss, ipo_loss, kto_kl, kto_loss, log_odds_ratio

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


def test_a_margin_asks_for_more_than_the_order():
    chosen, rejected = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])
    loss = bradley_terry_loss(chosen, rejected, torch.tensor([2.0, 0.5]))
    assert loss.item() == pytest.approx(math.log(2) + math.log1p(math.exp(0.5)))


def test_a_hopeless_pair_stays_finite():
    loss = bradley_terry_loss(torch.tensor([-1e4]), torch.tensor([1e4]))
    assert loss.item() == 2e4


def test_dpo_is_bradley_terry_on_what_was_gained_over_the_reference():
    margins = torch.tensor([0.75, -2.25])
    assert dpo_loss(margins).item() == pytest.approx(sum(math.log1p(math.exp(-m)) for m in margins.tolist()))


@given(st.lists(st.tuples(scores, scores, st.booleans(), st.floats(0.1, 3)), min_size=1, max_size=6), st.floats(0, 5))
def test_kto_values_a_gain_over_the_reference_point_of_either_kind(answers, kl):
    logps, reference, desirable, weights = (torch.tensor(column) for column in zip(*answers, strict=True))
    loss = kto_loss(logps.double() - reference.double(), desirable, weights.double(), kl, beta=0.2)
    expected = 0.0
    for logp, base, good, weight in answers:
        gain = 0.2 * (logp - base - kl) * (1 if good else -1)
        expected += weight * (1 - 1 / (1 + math.exp(-gain)))
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_reference_point_is_a_mean_and_never_negative():
    assert kto_kl(4.0, 2) == 2.0
    assert kto_kl(-4.0, 2) == 0.0


def test_smoothing_takes_a_share_of_the_pairs_for_the_other_way_round():
    margins = torch.tensor([0.75, -2.25])
    expected = 0.8 * dpo_loss(margins) + 0.2 * dpo_loss(-margins)
    assert dpo_loss(margins, smoothing=0.2).item() == pytest.approx(expected.item())


def test_ipo_wants_a_gain_of_half_over_beta():
    assert ipo_loss(torch.tensor([5.0, 3.0]), beta=0.1).item() == pytest.approx(4.0)


@given(st.lists(st.tuples(st.floats(-20, -1e-6), st.floats(-20, -1e-6)), min_size=1, max_size=6))
def test_odds_are_those_of_the_probabilities(pairs):
    chosen, rejected = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    p, q = chosen.exp(), rejected.exp()
    expected = (p / -torch.expm1(chosen)).log() - (q / -torch.expm1(rejected)).log()
    torch.testing.assert_close(log_odds_ratio(chosen, rejected), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("logp", [0.0, -1e-30, -1e-8, -0.6931472, -50.0])
def test_odds_and_their_gradient_are_finite_at_every_probability(logp):
    chosen = torch.tensor([logp], requires_grad=True)
    log_odds_ratio(chosen, torch.tensor([-1.0])).sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.isfinite().all()
