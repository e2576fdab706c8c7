"""From groups to gradients: against a loop over answers, one policy in engine and trainer, masking, several updates."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load
from afterbase.reward.route import Reward
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.groups import Group
from afterbase.train.grpo.loss import group_advantages
from afterbase.train.grpo.policy_gradient import accumulate, experience
from afterbase.train.optimizer import adamw, update
from grpo_toys import CONFIG

PROMPTS = [[0, 4, 50, 60, 5], [0, 4, 70, 5]]
REWARDS = [[1.0, 0.0, 0.5, 0.25], [0.0, 1.0, 1.0, 0.0]]
PROBLEM = Problem(domain="toy", prompt="?", gold=None, verifier="rubric", spec={"answer": "1"})


def settings(**changes) -> Grpo:
    """The toy settings with these changed; a dictionary changes those of the objective."""
    objective = CONFIG.objective.model_copy(update=changes.pop("objective", {}))
    return CONFIG.model_copy(update={"objective": objective, **changes})


def alone(lm: LanguageModel, prompt: list[int], answer: list[int], temperature: float) -> Tensor:
    """Log-probabilities of one answer's tokens, by a pass over it alone."""
    ids = torch.tensor([*prompt, *answer])
    logits = lm.logits(lm.hidden(ids, Segments.of([len(ids)])))[len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]


def group_of(prompt: list[int], completions: list[Completion], rewards: list[float]) -> Group:
    given = [Reward(None if math.isnan(r) else r, None) for r in rewards]
    texts = ["" for _ in completions]
    return Group(problem=PROBLEM, prompt_ids=prompt, completions=completions, texts=texts, rewards=given)


def drawn(lm: LanguageModel, temperature: float, rewards: list[list[float]] = REWARDS) -> list[Group]:
    """Answers of 1 to 7 tokens, with the log-probabilities that an engine would have stored."""
    generator = torch.Generator().manual_seed(0)
    groups = []
    for p, prompt in enumerate(PROMPTS):
        completions = []
        for i in range(4):
            tokens = torch.randint(6, 400, (1 + (3 * i + p) % 7,), generator=generator).tolist()
            with torch.no_grad():
                logps = alone(lm, prompt, tokens, temperature).tolist()
            completions.append(
                Completion(token_ids=tokens, logps=logps, finish=FinishReason.LENGTH, prompt_index=p, sample_index=i)
            )
        groups.append(group_of(prompt, completions, rewards[p]))
    return groups


def step(lm: LanguageModel, reference: LanguageModel | None, groups: list[Group], config: Grpo) -> dict[str, float]:
    return accumulate(lm, experience(lm, reference, groups, config).groups, config)


def gradients(lm: LanguageModel) -> dict[str, Tensor]:
    out = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in lm.model.named_parameters()}
    lm.model.zero_grad()
    return out


def moved(folder, factor: float = 1.05) -> LanguageModel:
    """A reference that is not the policy, in float64."""
    reference = load(folder)
    with torch.no_grad():
        for weight in reference.model.parameters():
            weight.mul_(factor)
    reference.model.double()
    return reference


@pytest.mark.parametrize("row_tokens", [64, 4096])
@pytest.mark.parametrize("temperature", [0.7, 1.3])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_step_has_the_gradient_of_the_equation(exact_lm, toy_folder, row_tokens, temperature, beta):
    """A loop over answers that share nothing: advantage times grad log pi, minus beta grad k3, of equal weight."""
    config = settings(row_tokens=row_tokens, temperature=temperature, objective={"beta": beta})
    reference = moved(toy_folder)
    groups = drawn(exact_lm, temperature)
    numbers = step(exact_lm, reference if beta else None, groups, config)
    ours = gradients(exact_lm)

    advantages = group_advantages(torch.tensor(REWARDS), torch.ones(2, 4, dtype=torch.bool))
    loss, drift = torch.zeros((), dtype=torch.float64), []
    for p, group in enumerate(groups):
        for i, completion in enumerate(group.completions):
            logps = alone(exact_lm, PROMPTS[p], completion.token_ids, temperature)
            with torch.no_grad():
                log_r = alone(reference, PROMPTS[p], completion.token_ids, temperature) - logps
            drift.append(-log_r)
            objective = advantages[p, i] * logps
            if beta:  # d k3 / d log pi = 1 - r
                objective = objective - beta * (1 - log_r.exp()) * logps
            loss = loss - objective.sum() / (8 * config.max_new_tokens)
    loss.backward()
    for name, expected in gradients(exact_lm).items():
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")
    assert numbers["mismatch/max"] < 1e-6
    assert ("kl" in numbers) == (beta > 0)
    if beta:
        assert numbers["kl"] == pytest.approx(torch.cat(drift).mean().item(), abs=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_failed_verdict_is_masked(exact_lm, toy_folder, beta):
    """Whatever the answer was, it has no gradient; the others keep theirs, and their share of the step."""
    config = settings(objective={"beta": beta})
    reference = moved(toy_folder) if beta else None
    rewards = [[1.0, math.nan, 0.0, 0.5], [0.0, 1.0, 0.0, 1.0]]
    groups = drawn(exact_lm, config.temperature, rewards)
    step(exact_lm, reference, groups, config)
    expected = gradients(exact_lm)
    failed = groups[0].completions[1]
    groups[0].completions[1] = replace(failed, token_ids=[9, 9, 9], logps=[-50.0] * 3)
    step(exact_lm, reference, groups, config)
    for name, gradient in gradients(exact_lm).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-9)
    assert any(g.any() for g in expected.values())


def test_equal_groups_contribute_nothing(toy_lm):
    groups = drawn(toy_lm, CONFIG.temperature, [[0.1] * 4, [1.0] * 4])
    assert step(toy_lm, None, groups, CONFIG) == {}
    assert all(p.grad is None for p in toy_lm.model.parameters())
    before = {n: p.detach().clone() for n, p in toy_lm.model.named_parameters()}
    assert update(adamw(toy_lm.model, CONFIG.optimisation), 1e-2, CONFIG.optimisation)[0] == 0.0
    assert all(torch.equal(before[n], p) for n, p in toy_lm.model.named_parameters())


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_the_kl_in_the_reward_is_taken_off_before_the_group_is_compared(exact_lm, toy_folder, name):
    """Advantages of reward minus beta times the sum of the estimate over the answer's tokens, by hand."""
    config = settings(objective={"beta": 0.3, "kl": name, "kl_in": "reward"})
    reference = moved(toy_folder)
    groups = drawn(exact_lm, config.temperature)
    known = experience(exact_lm, reference, groups, config)
    costs = torch.zeros(2, 4)
    for p, group in enumerate(groups):
        for i, completion in enumerate(group.completions):
            with torch.no_grad():
                ours, theirs = (alone(lm, PROMPTS[p], completion.token_ids, 1.2) for lm in (exact_lm, reference))
            log_r = theirs - ours
            estimate = {"k1": -log_r, "k2": log_r.square() / 2, "k3": log_r.exp() - log_r - 1}[name]
            costs[p, i] = estimate.sum()
    expected = group_advantages(torch.tensor(REWARDS) - 0.3 * costs, torch.ones(2, 4, dtype=torch.bool))
    got = torch.tensor([[answer.advantage for answer in group if answer is not None] for group in known.groups])
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    assert known.numbers["kl/in reward"] == pytest.approx(costs.mean().item(), abs=1e-4)
    accumulate(exact_lm, known.groups, config)
    plain = gradients(exact_lm)
    for group, values in zip(groups, (torch.tensor(REWARDS) - 0.3 * costs).tolist(), strict=True):
        group.rewards[:] = [Reward(value, None) for value in values]
    step(exact_lm, None, groups, CONFIG)
    for name_, gradient in gradients(exact_lm).items():
        torch.testing.assert_close(gradient, plain[name_], rtol=0, atol=1e-6)


def test_several_updates_keep_the_ratio_to_the_policy_that_began(exact_lm):
    """The second update's ratio is to the weights before the first, whatever the engine said; its clip is counted."""
    config = settings(epochs=2, objective={"clip_low": 1e-4, "clip_high": 1e-4})
    groups = drawn(exact_lm, config.temperature)
    known = experience(exact_lm, None, groups, config)
    for answer, completion in zip(known.groups[0], groups[0].completions, strict=True):
        assert answer is not None
        assert answer.old_logps is not None
        torch.testing.assert_close(answer.old_logps, torch.tensor(completion.logps).double(), rtol=0, atol=1e-6)
    first = accumulate(exact_lm, known.groups, config)
    assert first["clipped"] == 0.0
    update(adamw(exact_lm.model, config.optimisation), 1e-2, config.optimisation)
    second = accumulate(exact_lm, known.groups, config)
    assert second["clipped"] > 0.1
    assert second["mismatch"] == first["mismatch"]


def sampled(lm: LanguageModel, temperature: float, *, samples: int = 16, tokens: int = 12, seed: int = 0):
    sampling = Sampling(temperature=temperature, max_new_tokens=tokens, stop_token_ids=(1,), seed=seed)
    return LocalEngine(lm.model).generate(PROMPTS, samples=samples, sampling=sampling)


def of_parity(completions: list[list[Completion]]) -> list[Group]:
    """Reward 1 for an answer that begins with an even token."""
    return [
        group_of(prompt, group, [1.0 - c.token_ids[0] % 2 for c in group])
        for prompt, group in zip(PROMPTS, completions, strict=True)
    ]


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_engine_and_trainer_are_one_policy(toy_lm, temperature):
    groups = of_parity(sampled(toy_lm, temperature))
    config = settings(temperature=temperature)
    assert 0 < step(toy_lm, None, groups, config)["mismatch/max"] < 1e-4
    for group in groups:
        for completion in group.completions:
            with torch.no_grad():
                logps = alone(toy_lm, group.prompt_ids, completion.token_ids, temperature)
            torch.testing.assert_close(logps, torch.tensor(completion.logps), rtol=0, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_another_policy_stops_the_run(toy_lm, temperature):
    groups = of_parity(sampled(toy_lm, temperature))
    with pytest.raises(UserError, match="one policy") as raised:
        step(toy_lm, None, groups, settings(temperature=2.0 * temperature))
    assert "nats a token" in raised.value.got
    assert step(toy_lm, None, groups, settings(temperature=2.0 * temperature, mismatch_alarm=9.0))["mismatch"] > 0.05


def test_a_bandit_is_learnt(toy_lm):
    """One token an answer, reward 1 for an even one: half of them at first, nearly all of them soon."""
    config = settings(temperature=1.0, max_new_tokens=1)
    optimizer = adamw(toy_lm.model, config.optimisation)
    means = []
    for seed in range(20):
        groups = of_parity(sampled(toy_lm, 1.0, samples=32, tokens=1, seed=seed))
        step(toy_lm, None, groups, config)
        update(optimizer, 1e-2, CONFIG.optimisation)
        means.append(torch.cat([group.values for group in groups]).mean().item())
    assert means[0] < 0.7
    assert means[-1] > 0.95


def test_routing_is_kept_where_the_rollout_recorded_it(exact_lm):
    """Other experts than its own: other log-probabilities; a record of its own choice: the same ones."""
    own = settings(objective={"keep_routing": True}, mismatch_alarm=99.0)
    groups = drawn(exact_lm, own.temperature)
    plain = step(exact_lm, None, groups, own)  # the engine recorded nothing
    assert plain["mismatch/max"] < 1e-6
    for group in groups:
        for i, completion in enumerate(group.completions):
            positions = len(group.prompt_ids) + len(completion.token_ids) - 1
            routed = np.tile(np.array([0, 7], dtype=np.uint8), (positions, 2, 1))
            group.completions[i] = replace(completion, routed_experts=routed)
    assert step(exact_lm, None, groups, own)["mismatch/max"] > 1e-3
    assert step(exact_lm, None, groups, settings(mismatch_alarm=99.0))["mismatch/max"] < 1e-6


@pytest.mark.parametrize("top_p", [0.5, 0.9])
def test_the_sampling_mask_is_kept(toy_lm, top_p):
    """Log-probabilities within the tokens that the rollout kept are the engine's; without the mask they are not."""
    sampling = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(1,), seed=0, top_p=top_p)
    groups = of_parity(LocalEngine(toy_lm.model).generate(PROMPTS, samples=16, sampling=sampling))
    config = settings(temperature=1.0, mismatch_alarm=9.0)
    masked = settings(temperature=1.0, objective={"keep_sampling_mask": True})
    assert step(toy_lm, None, groups, masked)["mismatch/max"] < 1e-4
    assert step(toy_lm, None, groups, config)["mismatch"] > 0.05
