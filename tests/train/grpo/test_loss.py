"""Group advantages, the objective with all its switches, the KL estimators: each against the equation written out."""

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from afterbase.train.grpo.loss import (
    Answers,
    group_advantages,
    grpo_loss,
    importance_weights,
    kl_estimate,
    token_weights,
)
from afterbase.train.grpo.objective import Objective

EPSILON = 1e-4

reward = st.sampled_from([None, 0.0, 0.25, 0.5, 0.83, 1.0])


def naive_advantages(group: list[float | None]) -> list[float]:
    """(r - mean) / std over what was verified; statistics.stdev divides by n - 1."""
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


def test_a_single_verified_answer_has_no_baseline():
    values, valid = tensors([[1.0, None, None], [None, None, None]], torch.float32)
    assert group_advantages(values, valid).abs().sum() == 0.0


def test_advantages_are_a_pure_comparison():
    """Adding to all rewards changes nothing; scaling them changes next to nothing."""
    values, valid = tensors([[0.0, 0.5, 1.0, 0.0]], torch.float64)
    advantages = group_advantages(values, valid)
    torch.testing.assert_close(group_advantages(values + 3, valid), advantages)
    torch.testing.assert_close(group_advantages(values * 10, valid), advantages, rtol=1e-3, atol=0)


def test_without_standardising_advantages_are_the_distance_from_the_mean():
    values, valid = tensors([[0.0, None, 1.0, 0.5]], torch.float64)
    assert group_advantages(values, valid, standardise=False).tolist() == [[-0.5, 0.0, 0.5, 0.0]]


PLAIN = Objective(preset="dr_grpo")


def answers_of(sizes: list[int], advantages: list[float], objective: Objective, **logps: Tensor | None) -> Answers:
    sizes_S = torch.tensor(sizes)
    weights = token_weights(sizes_S, objective, answers=len(sizes), tokens=sum(sizes), longest=10)
    engine = logps.pop("engine_logps_N", None)
    return Answers(
        sizes_S=sizes_S,
        advantages_S=torch.tensor(advantages, dtype=torch.float64),
        weights_N=weights,
        engine_logps_N=torch.zeros(sum(sizes), dtype=torch.float64) if engine is None else engine,
        **logps,
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope", "cut"),
    [
        (1.0, 2.0, 2.0, 2.0, False),  # on-policy: the advantage, with its whole gradient
        (1.1, 2.0, 2.2, 2.2, False),  # within the clip: d(rho A) / d log pi = rho A
        (1.5, 2.0, 2.4, 0.0, True),  # good and already much likelier: no further
        (0.5, 2.0, 1.0, 1.0, False),  # good and less likely: pulled up, however far
        (1.5, -2.0, -3.0, -3.0, False),  # bad and likelier: pushed down, however far
        (0.5, -2.0, -1.6, 0.0, True),  # bad and already much less likely: no further
    ],
)
def test_clip(ratio, advantage, expected, slope, cut):
    logps = torch.tensor([-0.7], dtype=torch.float64, requires_grad=True)
    old = logps.detach() - torch.tensor(ratio, dtype=torch.float64).log()
    objective = Objective(preset="grpo")
    terms = grpo_loss(logps, answers_of([1], [advantage], objective, old_logps_N=old), objective)
    terms.loss.backward()
    assert -terms.loss.item() == pytest.approx(expected)
    assert logps.grad is not None
    assert -logps.grad.item() == pytest.approx(slope)
    assert terms.clipped_N.tolist() == [cut]


def test_cispo_keeps_the_gradient_of_a_token_that_the_clip_would_cut():
    logps = torch.tensor([-0.7, -0.2], dtype=torch.float64, requires_grad=True)
    old = logps.detach() - torch.tensor([1.5, 9.0], dtype=torch.float64).log()
    objective = Objective(preset="cispo")
    terms = grpo_loss(logps, answers_of([2], [2.0], objective, old_logps_N=old), objective)
    (gradient,) = torch.autograd.grad(-terms.loss, logps)
    torch.testing.assert_close(gradient, torch.tensor([1.5, 5.0], dtype=torch.float64) * 2.0 / 2)
    assert terms.clipped_N.tolist() == [False, True]


def test_on_policy_the_gradient_is_the_policy_gradient():
    """sum_t w_t A_t grad log pi_t, by autograd on the log-probabilities alone."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(5, (9,), generator=generator)
    sizes, advantages = [4, 2, 3], [1.0, -0.5, 0.25]

    def logps() -> Tensor:
        return logits.log_softmax(-1)[torch.arange(9), tokens]

    known = answers_of(sizes, advantages, PLAIN)
    loss = grpo_loss(logps(), known, PLAIN).loss
    per_token = torch.tensor(advantages, dtype=torch.float64).repeat_interleave(torch.tensor(sizes)) / (3 * 10)
    assert loss.item() == pytest.approx(-per_token.sum().item())
    ours, theirs = (torch.autograd.grad(x, logits)[0] for x in (loss, -(logps() * per_token).sum()))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


@pytest.fixture
def off_policy() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logps = torch.randn(9, generator=generator, dtype=torch.float64) - 2
    moved = 0.2 * torch.randn(3, 9, generator=generator, dtype=torch.float64)
    return {"logps": logps, "old": logps + moved[0], "engine": logps + moved[1], "reference": logps + moved[2]}


def test_equation_26_is_of_the_answer_as_a_whole(off_policy):
    """1/G sum_i { min(rho_i A_i, clip(rho_i) A_i) - beta (r_i - log r_i - 1) }, rho and r of the whole answers."""
    objective = Objective(preset="v3_eq26", beta=0.3)
    sizes, advantages = [4, 2, 3], [1.0, -0.5, 0.25]
    known = answers_of(
        sizes, advantages, objective, old_logps_N=off_policy["old"], reference_logps_N=off_policy["reference"]
    )
    loss = grpo_loss(off_policy["logps"], known, objective).loss
    total = 0.0
    parts = zip(*(off_policy[k].split(sizes) for k in ("logps", "old", "reference")), advantages, strict=True)
    for logps, old, reference, advantage in parts:
        rho, r = (logps.sum() - old.sum()).exp(), (reference.sum() - logps.sum()).exp()
        kept = torch.minimum(rho * advantage, rho.clamp(0.8, 1.2) * advantage)
        total += (kept - 0.3 * (r - r.log() - 1)) / 3
    assert loss.item() == pytest.approx(-float(total))


def test_gspo_is_of_the_ratio_a_token(off_policy):
    """1/G sum_i min(s_i A_i, clip(s_i) A_i) with s_i = rho_i^(1/|o_i|)."""
    objective = Objective(preset="gspo", clip_low=0.05, clip_high=0.06)
    sizes, advantages = [4, 2, 3], [1.0, -0.5, 0.25]
    known = answers_of(sizes, advantages, objective, old_logps_N=off_policy["old"])
    total = 0.0
    parts = zip(*(off_policy[k].split(sizes) for k in ("logps", "old")), advantages, strict=True)
    for logps, old, advantage in parts:
        s = (logps - old).mean().exp()
        total += torch.minimum(s * advantage, s.clamp(0.95, 1.06) * advantage) / 3
    assert grpo_loss(off_policy["logps"], known, objective).loss.item() == pytest.approx(-float(total))


@pytest.mark.parametrize(
    ("normalise", "weights"),
    [
        ("sequence", [1 / 8, 1 / 8, 1 / 2 / 3, 1 / 2 / 3, 1 / 2 / 3]),
        ("token", [1 / 20] * 5),
        ("constant", [1 / (4 * 10)] * 5),
    ],
)
def test_normalisation_counts_answers_that_are_left_out(normalise, weights):
    """Answers of 2 and 3 tokens out of 4 (2 here) with 20 tokens in all, at most 10 each."""
    objective = Objective(normalise=normalise)
    answers = 2 if normalise == "sequence" else 4
    expected = torch.tensor([1 / (answers * n) for n in (2, 2, 3, 3, 3)] if normalise == "sequence" else weights)
    got = token_weights(torch.tensor([2, 3]), objective, answers=answers, tokens=20, longest=10)
    torch.testing.assert_close(got.double(), expected.double())


def test_a_bad_answer_that_the_policy_has_left_is_dropped():
    """A < 0 and mean log(pi_engine / pi) above delta: the first; not the second, which is good, nor the third."""
    objective = Objective(preset="dr_grpo", off_policy_delta=0.5)
    logps = torch.full((6,), -2.0, dtype=torch.float64, requires_grad=True)
    engine = torch.tensor([-1.0, -1.4, -0.5, -0.5, -1.9, -1.8], dtype=torch.float64)
    terms = grpo_loss(logps, answers_of([2, 2, 2], [-1.0, 1.0, -1.0], objective, engine_logps_N=engine), objective)
    assert terms.kept_S.tolist() == [False, True, True]
    (gradient,) = torch.autograd.grad(terms.loss, logps)
    assert (gradient != 0).tolist() == [False, False, True, True, True, True]


def test_importance_weights_are_truncated_or_masked():
    trainer = torch.tensor([0.0, 0.0, 0.0])
    engine = -torch.tensor([0.5, 2.0, 8.0]).log()
    truncated = importance_weights(trainer, engine, Objective(importance="truncate", importance_cap=3.0))
    torch.testing.assert_close(truncated, torch.tensor([0.5, 2.0, 3.0]))
    masked = importance_weights(trainer, engine, Objective(importance="mask", importance_cap=3.0))
    torch.testing.assert_close(masked, torch.tensor([0.5, 2.0, 0.0]))


@pytest.mark.parametrize("importance", ["truncate", "mask"])
def test_importance_corrects_an_engine_with_another_policy(importance):
    """E over the engine's samples of the corrected gradient is the policy gradient, exactly, below the cap."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    engine = (logits.detach() + 0.2 * torch.randn(6, generator=generator, dtype=torch.float64)).log_softmax(-1)
    advantages = torch.randn(6, generator=generator, dtype=torch.float64)
    objective = Objective(preset="dr_grpo", importance=importance, importance_cap=3.0)
    known = Answers(  # each token once, weighed by the probability that the engine samples it
        sizes_S=torch.ones(6, dtype=torch.long),
        advantages_S=advantages,
        weights_N=engine.exp(),
        engine_logps_N=engine,
    )
    (ours,) = torch.autograd.grad(grpo_loss(logits.log_softmax(-1), known, objective).loss, logits)
    (exact,) = torch.autograd.grad(-(logits.softmax(-1) * advantages).sum(), logits)
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)


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


def test_every_estimator_but_k2_estimates_the_reverse_kl(policy):
    """On-policy; k2 is biased, k3 never negative."""
    logits, reference = policy
    logps = logits.log_softmax(-1)
    exact = reverse_kl(logits, reference)
    for name in ("k1", "k3", "rho_k3"):
        estimate = kl_estimate(name, reference - logps, torch.zeros_like(logps))
        torch.testing.assert_close((logits.softmax(-1) * estimate).sum(), exact)
    k2 = kl_estimate("k2", reference - logps, torch.zeros_like(logps))
    assert (logits.softmax(-1) * k2).sum().item() != pytest.approx(exact.item(), rel=0.01)
    k3 = kl_estimate("k3", reference - logps, torch.zeros_like(logps))
    assert (k3 >= 0).all()


@pytest.mark.parametrize("name", ["k1", "k2", "k3", "rho_k3"])
def test_as_a_loss_each_has_the_gradient_that_its_docstring_says(policy, name):
    """Per token at a fixed prefix, on-policy: 0, reverse, forward, reverse."""
    logits, reference = policy
    logps = logits.log_softmax(-1)
    (forward,) = torch.autograd.grad(forward_kl(logits, reference), logits, retain_graph=True)
    (reverse,) = torch.autograd.grad(reverse_kl(logits, reference), logits, retain_graph=True)
    assert (forward - reverse).abs().max() > 0.01
    expected = {"k1": torch.zeros(6).double(), "k2": reverse, "k3": forward, "rho_k3": reverse}[name]
    estimate = kl_estimate(name, reference - logps, logps - logps.detach())
    torch.testing.assert_close(expected_gradient(estimate, logits), expected, rtol=0, atol=1e-12)


def test_off_policy_only_rho_k3_has_the_right_gradient(policy):
    """Samples of an older policy; and with rho detached the fix is lost."""
    logits, reference = policy
    generator = torch.Generator().manual_seed(4)
    old = (logits.detach() + 0.5 * torch.randn(6, generator=generator, dtype=torch.float64)).log_softmax(-1)
    logps = logits.log_softmax(-1)
    (reverse,) = torch.autograd.grad(reverse_kl(logits, reference), logits, retain_graph=True)
    ours = kl_estimate("rho_k3", reference - logps, logps - old)
    gradient = torch.autograd.grad((old.exp() * ours).sum(), logits, retain_graph=True)[0]
    torch.testing.assert_close(gradient, reverse, rtol=0, atol=1e-12)
    detached = kl_estimate("k3", reference - logps, logps - old) * (logps - old).exp().detach()
    lost = torch.autograd.grad((old.exp() * detached).sum(), logits)[0]
    assert (lost - reverse).abs().max() > 0.01


@pytest.mark.parametrize("name", ["k2", "k3", "rho_k3"])
def test_against_the_kl_of_whole_answers_the_sum_over_tokens_is_biased(name):
    """A policy of two steps, all sequences summed: each token's gradient misses what its choice does to later ones.

    E grad sum_t kl_t equals the gradient of sum_t E_prefix KL_t with the prefixes held fixed; the gradient of the
    sequence's KL has one more term, E sum_t KL_t grad log pi(prefix).
    """
    generator = torch.Generator().manual_seed(5)
    first = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
    second = torch.randn(3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    reference_1 = torch.randn(3, generator=generator, dtype=torch.float64).log_softmax(-1)
    reference_2 = torch.randn(3, 3, generator=generator, dtype=torch.float64).log_softmax(-1)
    logps_1, logps_2 = first.log_softmax(-1), second.log_softmax(-1)
    kl_2 = (logps_2.exp() * (logps_2 - reference_2)).sum(-1)
    whole = (logps_1.exp() * (logps_1 - reference_1)).sum() + (logps_1.exp() * kl_2).sum()
    (exact,) = torch.autograd.grad(whole, first, retain_graph=True)
    joint = (logps_1[:, None] + logps_2).exp().detach()
    of_tokens = kl_estimate(name, reference_1 - logps_1, logps_1 - logps_1.detach())[:, None] + kl_estimate(
        name, reference_2 - logps_2, logps_2 - logps_2.detach()
    )
    (tokens,) = torch.autograd.grad((joint * of_tokens).sum(), first, retain_graph=True)
    assert (tokens - exact).abs().max() > 0.01
    if name != "k3":
        missing = torch.autograd.grad((logps_1.exp() * kl_2.detach()).sum(), first)[0]
        torch.testing.assert_close(tokens + missing, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["k2", "rho_k3"])
def test_of_the_whole_answer_the_estimate_is_not_biased(name):
    """The same two steps with the answer's own ratio, as in equation 26: k2 and rho k3 have the exact gradient."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(9, generator=generator, dtype=torch.float64, requires_grad=True)  # of all answers
    reference = torch.randn(9, generator=generator, dtype=torch.float64).log_softmax(-1)
    logps = logits.log_softmax(-1)
    (exact,) = torch.autograd.grad(reverse_kl(logits, reference), logits, retain_graph=True)
    estimate = kl_estimate(name, reference - logps, logps - logps.detach())
    torch.testing.assert_close(expected_gradient(estimate, logits), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["k1", "k2", "k3", "rho_k3"])
def test_the_loss_adds_beta_times_the_estimators_gradient(policy, name):
    """Through `grpo_loss` itself, with an advantage of zero everywhere and pi as the weights."""
    logits, reference = policy
    logps = logits.log_softmax(-1)
    objective = Objective(preset="dr_grpo", beta=0.5, kl=name)
    known = Answers(
        sizes_S=torch.ones(6, dtype=torch.long),
        advantages_S=torch.zeros(6).double(),
        weights_N=logits.detach().softmax(-1),
        engine_logps_N=logps.detach(),
        reference_logps_N=reference,
    )
    (ours,) = torch.autograd.grad(grpo_loss(logps, known, objective).loss, logits, retain_graph=True)
    estimate = kl_estimate(name, reference - logps, logps - logps.detach())
    torch.testing.assert_close(ours, 0.5 * expected_gradient(estimate, logits), rtol=0, atol=1e-12)
