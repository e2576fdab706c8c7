"""GRPO: the step's gradient against a plain loop, one policy in engine and trainer, masking, prompts, resume."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict, write_problems
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load, save
from afterbase.reward.route import Reward
from afterbase.reward.scalar import new_reward_model, save_reward_model
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local import LocalEngine
from afterbase.train import grpo
from afterbase.train.grpo import Grpo, _logps, _prompts, _reward_numbers, _step, train_grpo
from afterbase.train.losses.grpo import group_advantages
from afterbase.train.optimise import Optimisation, adamw, update

CONFIG = Grpo(
    steps=6,
    prompts=2,
    samples=4,
    temperature=1.2,
    max_new_tokens=8,
    length_weight=0.2,
    optimisation=Optimisation(learning_rate=1e-2, floor=1e-3),
    row_tokens=64,
    checkpoint_every=2,
)
PROMPTS = [[0, 4, 50, 60, 5], [0, 4, 70, 5]]


def toy_problems(count: int, verifier: str = "rubric") -> list[Problem]:
    return [
        Problem(domain="toy", prompt=f"{verifier} {i}?", gold=None, verifier=verifier, spec={"answer": "1"})
        for i in range(count)
    ]


def alone(lm: LanguageModel, prompt: list[int], answer: list[int], temperature: float) -> Tensor:
    """Log-probabilities of one answer's tokens, by a pass over it alone."""
    ids = torch.tensor([*prompt, *answer])
    logits = lm.logits(lm.hidden(ids, Segments.of([len(ids)])))[len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]


def completions(lm: LanguageModel, temperature: float) -> list[list[Completion]]:
    """Answers of 1 to 7 tokens, with the log-probabilities that an engine would have stored."""
    generator = torch.Generator().manual_seed(0)
    groups = []
    for p, prompt in enumerate(PROMPTS):
        group = []
        for i in range(CONFIG.samples):
            tokens = torch.randint(6, 400, (1 + (3 * i + p) % 7,), generator=generator).tolist()
            with torch.no_grad():
                logps = alone(lm, prompt, tokens, temperature).tolist()
            group.append(
                Completion(token_ids=tokens, logps=logps, finish=FinishReason.LENGTH, prompt_index=p, sample_index=i)
            )
        groups.append(group)
    return groups


def gradients(lm: LanguageModel) -> dict[str, Tensor]:
    out = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in lm.model.named_parameters()}
    lm.model.zero_grad()
    return out


ALL = torch.ones(2, 4, dtype=torch.bool)
ADVANTAGES = torch.tensor([[1.0, -0.5, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("row_tokens", [64, 4096])
@pytest.mark.parametrize("temperature", [0.7, 1.3])
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_step_has_the_gradient_of_the_equation(exact_lm, toy_folder, row_tokens, temperature, beta):
    """Loops over answers: advantage times grad log pi, minus beta times grad k3, summed over tokens of equal weight."""
    config = CONFIG.model_copy(update={"row_tokens": row_tokens, "temperature": temperature, "beta": beta})
    reference = load(toy_folder)
    with torch.no_grad():
        for weight in reference.model.parameters():
            weight.mul_(1.05)
    reference.model.double()
    groups = completions(exact_lm, temperature)
    numbers = _step(exact_lm, reference if beta else None, PROMPTS, groups, ADVANTAGES, ALL, config)
    ours = gradients(exact_lm)

    loss, drift = torch.zeros((), dtype=torch.float64), []
    for p, group in enumerate(groups):
        for i, completion in enumerate(group):
            logps = alone(exact_lm, PROMPTS[p], completion.token_ids, temperature)
            with torch.no_grad():
                log_r = alone(reference, PROMPTS[p], completion.token_ids, temperature) - logps
            drift.append(-log_r)
            objective = ADVANTAGES[p, i] * logps
            if beta:  # d k3 / d log pi = 1 - r
                objective = objective - beta * (1 - log_r.exp()) * logps
            loss = loss - objective.sum() / (ADVANTAGES.numel() * config.max_new_tokens)
    loss.backward()
    for name, expected in gradients(exact_lm).items():
        torch.testing.assert_close(ours[name], expected, rtol=0, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")
    assert numbers["mismatch_max"] < 1e-6
    assert ("kl" in numbers) == (beta > 0)
    if beta:
        assert numbers["kl"] == pytest.approx(torch.cat(drift).mean().item(), abs=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_failed_verdict_is_masked(exact_lm, toy_folder, beta):
    """Whatever the answer was, it has no gradient; the others keep theirs, and their share of the step."""
    config = CONFIG.model_copy(update={"beta": beta})
    reference = load(toy_folder) if beta else None
    if reference is not None:
        torch.nn.init.normal_(reference.model.lm_head.weight)
        reference.model.double()
    values = torch.tensor([[1.0, math.nan, 0.0, 0.5], [0.0, 1.0, 0.0, 1.0]])
    valid = ~values.isnan()
    advantages = group_advantages(values.nan_to_num(0.0), valid)
    groups = completions(exact_lm, config.temperature)
    _step(exact_lm, reference, PROMPTS, groups, advantages, valid, config)
    expected = gradients(exact_lm)
    failed = groups[0][1]
    groups[0][1] = replace(failed, token_ids=[9, 9, 9], logps=[-50.0] * 3)
    _step(exact_lm, reference, PROMPTS, groups, advantages, valid, config)
    for name, gradient in gradients(exact_lm).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-9)
    assert any(g.any() for g in expected.values())


def test_equal_groups_contribute_nothing(toy_lm):
    groups = completions(toy_lm, CONFIG.temperature)
    advantages = group_advantages(torch.tensor([[0.1] * 4, [1.0] * 4]), ALL)
    assert _step(toy_lm, None, PROMPTS, groups, advantages, ALL, CONFIG) == {}
    assert all(p.grad is None for p in toy_lm.model.parameters())
    before = {n: p.detach().clone() for n, p in toy_lm.model.named_parameters()}
    assert update(adamw(toy_lm.model, CONFIG.optimisation), 1e-2, CONFIG.optimisation)[0] == 0.0
    assert all(torch.equal(before[n], p) for n, p in toy_lm.model.named_parameters())


def sampled(lm: LanguageModel, temperature: float, *, samples: int = 16, tokens: int = 12, seed: int = 0):
    sampling = Sampling(temperature=temperature, max_new_tokens=tokens, stop_token_ids=(1,), seed=seed)
    return LocalEngine(lm.model).generate(PROMPTS, samples=samples, sampling=sampling)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_engine_and_trainer_are_one_policy(toy_lm, temperature):
    for prompt, group in zip(PROMPTS, sampled(toy_lm, temperature), strict=True):
        for completion in group:
            ids = torch.tensor([*prompt, *completion.token_ids])
            trained = torch.arange(len(ids)) >= len(prompt)
            with torch.no_grad():
                logps = _logps(toy_lm, ids, trained, Segments.of([len(ids)]), temperature)
            torch.testing.assert_close(logps, torch.tensor(completion.logps), rtol=0, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_the_mismatch_is_measured_and_another_policy_stops_the_run(toy_lm, temperature):
    groups = sampled(toy_lm, temperature)
    advantages, valid = torch.randn(2, 16), torch.ones(2, 16, dtype=torch.bool)
    config = CONFIG.model_copy(update={"temperature": temperature})
    assert 0 < _step(toy_lm, None, PROMPTS, groups, advantages, valid, config)["mismatch_max"] < 1e-4
    forgotten = config.model_copy(update={"temperature": 2.0 * temperature})
    with pytest.raises(UserError, match="one policy") as raised:
        _step(toy_lm, None, PROMPTS, groups, advantages, valid, forgotten)
    assert "nats a token" in raised.value.got


def test_a_bandit_is_learnt(toy_lm):
    """One token an answer, reward 1 for an even one: half of them at first, nearly all of them soon."""
    config = CONFIG.model_copy(update={"temperature": 1.0, "max_new_tokens": 1})
    optimizer = adamw(toy_lm.model, config.optimisation)
    means = []
    for step in range(20):
        groups = sampled(toy_lm, 1.0, samples=32, tokens=1, seed=step)
        values = torch.tensor([[1.0 - c.token_ids[0] % 2 for c in group] for group in groups])
        valid = torch.ones_like(values, dtype=torch.bool)
        _step(toy_lm, None, PROMPTS, groups, group_advantages(values, valid), valid, config)
        update(optimizer, 1e-2, CONFIG.optimisation)
        means.append(values.mean().item())
    assert means[0] < 0.7
    assert means[-1] > 0.95


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 5))
@settings(deadline=None)
def test_every_problem_comes_once_an_epoch(count, prompts, seed):
    problems = toy_problems(count)
    shown = [p.id for step in range(3 * count) for p in _prompts(problems, step, prompts, seed)]
    everything = sorted(p.id for p in problems)
    assert len(shown) == 3 * count * prompts
    epochs = [shown[i : i + count] for i in range(0, len(shown), count)]
    assert all(sorted(epoch) == everything for epoch in epochs)


def test_epochs_and_seeds_have_orders_of_their_own():
    problems = toy_problems(30)
    first, second, other = (
        [p.id for p in _prompts(problems, step, 30, seed)] for step, seed in ((0, 0), (1, 0), (0, 1))
    )
    assert first != second
    assert first != other


def answer(tokens: int, finish: FinishReason = FinishReason.STOP) -> Completion:
    return Completion(token_ids=[7] * tokens, logps=[-1.0] * tokens, finish=finish, prompt_index=0, sample_index=0)


def test_numbers_of_a_step_leave_failed_verdicts_out():
    """Lengths apart for right and wrong; an answer that nobody could judge is neither."""
    verdicts = {
        status: Verdict(verifier="maths", status=status, value=float(status is Status.OK), reason="r")
        for status in Status
    }
    judged = [
        Reward(0.9, verdicts[Status.OK]),
        Reward(0.0, verdicts[Status.WRONG]),
        Reward(0.0, verdicts[Status.WRONG]),
        Reward(None, verdicts[Status.FAILED]),
        Reward(0.5, None),
        Reward(0.5, None),
        Reward(0.5, None),
        Reward(0.5, None),
    ]
    lengths = [4, 6, 8, 100, 10, 10, 10, 12]
    flat = [answer(n, FinishReason.LENGTH if n == 12 else FinishReason.STOP) for n in lengths]
    values = torch.tensor([math.nan if r.value is None else r.value for r in judged]).view(2, 4)
    advantages = group_advantages(values.nan_to_num(0.0), ~values.isnan())
    assert _reward_numbers(values, advantages, judged, flat) == {
        "reward": pytest.approx(2.9 / 7, abs=1e-4),
        "solved": pytest.approx(1 / 3, abs=1e-4),
        "length": 20.0,
        "length_right": 4.0,
        "length_wrong": 7.0,
        "truncated": 0.125,
        "equal_groups": 0.5,
        "verifier_failed": 0.125,
    }


@pytest.fixture
def model(toy_lm, artifact):
    return artifact("model", lambda folder: save(toy_lm, folder))


@pytest.fixture
def judge(toy_folder, artifact):
    """A reward model of no merit, but one that tells answers apart."""
    rm = new_reward_model(load(toy_folder))
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return artifact("judge", lambda folder: save_reward_model(rm, folder))


def problem_set(artifact, name: str, problems: list[Problem]):
    return artifact(name, lambda folder: write_problems(folder / "train.parquet", problems))


def test_an_interrupted_run_goes_on_bit_for_bit(model, judge, artifact, assert_resumes):
    """With both tracks of reward, the KL to a reference, and an optimizer that is in full swing."""
    sets = [
        problem_set(artifact, "chat", toy_problems(3)),
        problem_set(artifact, "maths", toy_problems(2, verifier="maths")),
    ]
    config = CONFIG.model_copy(update={"beta": 0.05})
    whole = assert_resumes(
        lambda store: train_grpo(store, "grpo", model, sets, config, seed=1, reward_model=judge), cut=5, saved=4
    )
    rows = whole.metrics()
    assert len(rows) == 6
    assert all(row["grad_norm"] > 0 and row["mismatch_max"] < 1e-4 for row in rows)
    assert rows[0]["kl"] == 0.0
    assert rows[-1]["kl"] != 0.0, "the reference is the starting model, not the present one"
    examples = [json.loads(line) for line in (whole.payload / "samples.jsonl").read_text().splitlines()]
    assert [e["step"] for e in examples] == [1, 2, 3, 4, 5, 6]
    before, after = load(model.payload).modules().state_dict(), load(whole.payload).modules().state_dict()
    unmoved = {name for name in before if torch.equal(before[name], after[name])}
    draft = {name for name in before if name.startswith("mtp.")}
    assert draft <= unmoved, "RL leaves the draft alone"
    assert "trunk.lm_head.weight" not in unmoved


def failing(share: float):
    """In place of `rewards`: of each eight answers the verifier fails at `share`, and the others differ."""
    failed = Reward(None, Verdict(verifier="maths", status=Status.FAILED, value=0.0, reason="verifier_error"))

    def judge(answers, **_settings) -> list[Reward]:
        return [failed if i < share * len(answers) else Reward(float(i % 2), None) for i in range(len(answers))]

    return judge


def test_verifiers_that_fail_are_counted_and_above_a_share_stop_the_run(model, artifact, toy_store, monkeypatch):
    problems = [problem_set(artifact, "maths", toy_problems(2, verifier="maths"))]
    config = CONFIG.model_copy(update={"steps": 1})
    monkeypatch.setattr(grpo, "rewards", failing(1 / 8))
    trained = train_grpo(toy_store, "grpo", model, problems, config, seed=0)
    assert trained.metrics()[0]["verifier_failed"] == 0.125
    monkeypatch.setattr(grpo, "rewards", failing(2 / 8))
    with pytest.raises(UserError, match="at most 20%") as raised:
        train_grpo(toy_store, "grpo", model, problems, config, seed=1)
    assert raised.value.got == "25% at step 1: verifier_error 2 times"


def test_open_problems_need_a_reward_model(model, artifact, toy_store):
    chat = problem_set(artifact, "chat", toy_problems(2))
    with pytest.raises(UserError, match="reward model"):
        train_grpo(toy_store, "grpo", model, [chat], CONFIG, seed=0)


@pytest.mark.parametrize("key", ["samples", "temperature", "length_weight", "max_new_tokens"])
def test_settings_that_cannot_teach_are_refused(key):
    bad = {"samples": 1, "temperature": 0.0, "length_weight": 1.0, "max_new_tokens": 0}
    with pytest.raises(ValueError, match=key):
        Grpo(**{**CONFIG.model_dump(), "optimisation": CONFIG.optimisation, key: bad[key]})
