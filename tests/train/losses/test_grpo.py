"""Group advantages, the clipped objective and its KL term, each against the equation written out."""

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from afterbase.train.losses.grpo import clipped_objective, group_advantages, grpo_loss, k3

EPSILON = 1e-4

reward = st.sampled_from([None, 0.0, 0.25, 0.5, 0.83, 1.0])


def naive_advantages(group: list[float | None]) -> list[float]:
    """(r - mean) / std over what was judged; statistics.stdev divides by n - 1."""
    valid = [r for r in group if r is not None]
    if len(valid) < 2 or len(set(valid)) == 1:
        return [0.0] * len(group)
    mean, std = statistics.fmean(valid), statistics.stdev(valid)
    return [0.0 if r is None else (r - mean) / (std + EPSILON) for r in group]


def tensors(groups: list[list[float | None]], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    values = torch.tensor([[0.0 if r is None else r for r in group] for group in groups], dtype=dtype)
    return values, torch.tensor([[r is not None for r in group] for group in groups])


@given(st.integers(2, 7).flatmap(lambda n: st.lists(st.lists(reward, min_size=n, max_size=n), min_size=1, max_size=5)))
@settings(deadline=None)
def test_advantages_equal_the_formula(groups):
    expected = torch.tensor([naive_advantages(group) for group in groups], dtype=torch.float64)
    torch.testing.assert_close(group_advantages(*tensors(groups, torch.float64)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", range(2, 12))
@pytest.mark.parametrize("value", [0.0, 0.1, 0.83, 1.0])
def test_equal_groups_contribute_exactly_nothing(size, value):
    """In float32, where the mean of seven times 0.1 is not 0.1."""
    values, valid = tensors([[value] * size], torch.float32)
    assert group_advantages(values, valid).tolist() == [[0.0] * size]


@pytest.mark.parametrize("masked", [0.0, 1.0, -1e6, float("inf")])
def test_what_a_failed_verifier_left_behind_has_no_influence(masked):
    values = torch.tensor([[1.0, 0.0, masked, 0.5]])
    valid = torch.tensor([[True, True, False, True]])
    advantages = group_advantages(values, valid)
    assert advantages[0, 2] == 0.0
    torch.testing.assert_close(
        advantages[:, [0, 1, 3]], group_advantages(values[:, [0, 1, 3]], torch.ones(1, 3, dtype=torch.bool))
    )


def test_a_single_judged_answer_has_no_baseline():
    values, valid = tensors([[1.0, None, None], [None, None, None]], torch.float32)
    assert group_advantages(values, valid).abs().sum() == 0.0


def test_advantages_are_a_pure_comparison():
    """Adding to all rewards changes nothing; scaling them changes next to nothing."""
    values, valid = tensors([[0.0, 0.5, 1.0, 0.0]], torch.float64)
    advantages = group_advantages(values, valid)
    torch.testing.assert_close(group_advantages(values + 3, valid), advantages)
    torch.testing.assert_close(group_advantages(values * 10, valid), advantages, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),  # on-policy: the advantage, with its whole gradient
        (1.1, 2.0, 2.2, 2.2),  # within the clip: d(rho A) / d log pi = rho A
        (1.5, 2.0, 2.4, 0.0),  # good and already much likelier: no further
        (0.5, 2.0, 1.0, 1.0),  # good and less likely: pulled up, however far
        (1.5, -2.0, -3.0, -3.0),  # bad and likelier: pushed down, however far
        (0.5, -2.0, -1.6, 0.0),  # bad and already much less likely: no further
    ],
)
def test_clip(ratio, advantage, expected, slope):
    logps = torch.tensor([-0.7], dtype=torch.float64, requires_grad=True)
    old = logps.detach() - torch.tensor(ratio, dtype=torch.float64).log()
    objective = clipped_objective(logps, old, torch.tensor([advantage], dtype=torch.float64), clip=0.2)
    objective.sum().backward()
    assert objective.item() == pytest.approx(expected)
    assert logps.grad is not None
    assert logps.grad.item() == pytest.approx(slope)


def test_on_policy_the_gradient_is_the_policy_gradient():
    """sum_t w_t A_t grad log pi_t, by autograd on the log-probabilities alone."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(5, (9,), generator=generator)
    advantages, weights = torch.randn(2, 9, generator=generator, dtype=torch.float64)

    def logps() -> Tensor:
        return logits.log_softmax(-1)[torch.arange(9), tokens]

    loss = grpo_loss(logps(), logps().detach(), None, advantages, weights, clip=0.2, beta=0.0)
    assert loss.item() == pytest.approx(-(advantages * weights).sum().item())
    plain = -(logps() * advantages * weights).sum()
    ours, theirs = (torch.autograd.grad(x, logits)[0] for x in (loss, plain))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


def test_the_loss_is_the_equation():
    logps, old, reference, advantages, weights = torch.randn(
        5, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    loss = grpo_loss(logps, old, reference, advantages, weights, clip=0.2, beta=0.3)
    ratio, r = (logps - old).exp(), (reference - logps).exp()
    objective = torch.stack([ratio * advantages, ratio.clamp(0.8, 1.2) * advantages]).min(0).values
    expected = -(weights * (objective - 0.3 * (r - r.log() - 1))).sum()
    torch.testing.assert_close(loss, expected)


# The KL facts, on a categorical of six: expectations over x ~ pi are sums, so nothing here is sampled.


@pytest.fixture
def policy() -> tuple[Tensor, Tensor]:
    """Logits of pi, which bear gradients, and log pi_ref."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.randn(6, generator=generator, dtype=torch.float64).log_softmax(-1)


def reverse_kl(logits: Tensor, reference: Tensor) -> Tensor:
    return (logits.softmax(-1) * (logits.log_softmax(-1) - reference)).sum()


def forward_kl(logits: Tensor, reference: Tensor) -> Tensor:
    return (reference.exp() * (reference - logits.log_softmax(-1))).sum()


def expected_gradient(estimate: Tensor, logits: Tensor) -> Tensor:
    """E_{x ~ pi} grad estimate(x): what a loss over samples has, as its samples bear no gradient themselves."""
    return torch.autograd.grad((logits.detach().softmax(-1) * estimate).sum(), logits)[0]


def test_k3_estimates_the_reverse_kl_and_is_never_negative(policy):
    logits, reference = policy
    estimate = k3(logits.log_softmax(-1), reference)
    assert (estimate >= 0).all()
    expected = (logits.softmax(-1) * estimate).sum()
    torch.testing.assert_close(expected, reverse_kl(logits, reference))
    assert k3(reference, reference).abs().max() == 0.0


def test_k3_as_a_loss_has_the_gradient_of_the_forward_kl(policy):
    """A known property of the estimator, kept as DeepSeekMath prints it; it is not the gradient of its own value."""
    logits, reference = policy
    gradient = expected_gradient(k3(logits.log_softmax(-1), reference), logits)
    (forward,) = torch.autograd.grad(forward_kl(logits, reference), logits)
    (reverse,) = torch.autograd.grad(reverse_kl(logits, reference), logits)
    torch.testing.assert_close(gradient, forward, rtol=0, atol=1e-12)
    assert (gradient - reverse).abs().max() > 0.01


def test_k3_times_the_differentiable_ratio_has_the_right_gradient(policy):
    """What DeepSeek-V3.2 does instead; detaching the ratio loses it again."""
    logits, reference = policy
    logps = logits.log_softmax(-1)
    ratio = (logps - logps.detach()).exp()
    (reverse,) = torch.autograd.grad(reverse_kl(logits, reference), logits, retain_graph=True)
    whole = expected_gradient(ratio * k3(logps, reference), logits)
    torch.testing.assert_close(whole, reverse, rtol=0, atol=1e-12)


def test_the_loss_adds_beta_times_the_k3_gradient(policy):
    """Through `grpo_loss` itself, with an advantage of zero everywhere and pi as the weights."""
    logits, reference = policy
    logps, weights = logits.log_softmax(-1), logits.detach().softmax(-1)
    loss = grpo_loss(logps, logps.detach(), reference, torch.zeros(6).double(), weights, clip=0.2, beta=0.5)
    (ours,) = torch.autograd.grad(loss, logits)
    (forward,) = torch.autograd.grad(forward_kl(logits, reference), logits)
    torch.testing.assert_close(ours, 0.5 * forward, rtol=0, atol=1e-12)
