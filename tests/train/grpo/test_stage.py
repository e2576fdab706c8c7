"""The GRPO stage: resume bit for bit in all its forms, minibatches, the reference, what is refused before it starts."""

import json
import re

import pytest
import torch
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.core.tokens import user_prompt_ids
from afterbase.model.load import load
from afterbase.reward.route import Reward
from afterbase.reward.rule_settings import FormatRule, LengthRule, Rewards, Rule
from afterbase.rollout.engine import Completion, FinishReason
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.train.grpo import prompt_sampling, reward_function
from afterbase.train.grpo import stage as grpo
from afterbase.train.grpo.groups import Rollout
from afterbase.train.grpo.objective import PRESETS, Objective, PresetName
from afterbase.train.grpo.policy_gradient import minibatch
from afterbase.train.grpo.stage import Run, roll_out, train_grpo
from grpo_toys import CONFIG, problem_set, settings, toy_problems


def failing(share: float):
    """In place of `rewards`: of each eight answers the verifier fails at `share`, and the others differ."""
    failed = Reward(None, Verdict(verifier="maths", status=Status.FAILED, value=0.0, reason="verifier_error"))

    def rewards(answers, contexts, **_settings) -> list[Reward]:
        return [failed if i < share * len(answers) else Reward(float(i % 2), None) for i in range(len(answers))]

    return rewards


def test_verifiers_that_fail_are_counted_and_above_a_share_stop_the_run(model, artifact, toy_store, monkeypatch):
    problems = [problem_set(artifact, "maths", toy_problems(2, verifier="maths"))]
    config = settings(steps=1)
    monkeypatch.setattr(reward_function, "rewards", failing(1 / 8))
    trained = train_grpo(toy_store, "grpo", model, problems, config, seed=0)
    assert trained.metrics()[0]["verifier_failed"] == 0.125
    monkeypatch.setattr(reward_function, "rewards", failing(2 / 8))
    with pytest.raises(UserError, match="at most 20%") as raised:
        train_grpo(toy_store, "grpo", model, problems, config, seed=1)
    assert raised.value.got == "25%: verifier_error 2 times in maths"


def test_open_problems_need_a_reward_model(model, artifact, toy_store):
    chat = problem_set(artifact, "chat", toy_problems(2))
    with pytest.raises(UserError, match="reward model"):
        train_grpo(toy_store, "grpo", model, [chat], CONFIG, seed=0)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains(model, reward_model, artifact, toy_store, preset):
    problems = [problem_set(artifact, "chat", toy_problems(3))]
    config = settings(steps=2, objective=Objective(preset=preset))
    trained = train_grpo(toy_store, "grpo", model, problems, config, seed=0, reward_model=reward_model)
    assert all(row["grad_norm"] > 0 and row["mismatch"] < 1e-4 for row in trained.metrics())


@pytest.mark.parametrize(("prompts", "minibatches", "epochs"), [(4, 1, 1), (6, 3, 2), (8, 2, 3)])
def test_each_group_is_in_one_minibatch_an_epoch(prompts, minibatches, epochs):
    config = settings(prompts=prompts, minibatches=minibatches, epochs=epochs)
    parts = [minibatch(config, 5, update, 0) for update in range(config.updates)]
    assert all(len(part) == prompts // minibatches for part in parts)
    for epoch in range(epochs):
        shown = [g for part in parts[epoch * minibatches : (epoch + 1) * minibatches] for g in part]
        assert sorted(shown) == list(range(prompts))
    if minibatches > 1:
        assert parts[:minibatches] != parts[minibatches : 2 * minibatches]


def test_a_run_from_which_nothing_could_be_learnt_is_refused(model, artifact, toy_store):
    """Nobody solves these; with `probe_groups = 0` it starts all the same, and no weight moves."""
    maths = [problem_set(artifact, "maths", toy_problems(2, verifier="maths"))]
    with pytest.raises(UserError, match="rewards differ") as raised:
        train_grpo(toy_store, "grpo", model, maths, CONFIG, seed=0)
    assert re.match(r"8 groups of 4 answers, each with equal rewards: 0% solved", raised.value.got)
    trained = train_grpo(toy_store, "grpo", model, maths, settings(steps=1, probe_groups=0), seed=0)
    before, after = load(model.payload).model.state_dict(), load(trained.payload).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_prompts_that_do_not_fit_are_left_out_and_counted_at_the_start(model, artifact, toy_store, monkeypatch):
    short = toy_problems(2, "maths")
    long = Problem(domain="toy", prompt="1 2 " * 300, gold=None, verifier="maths", spec={})
    sets = [problem_set(artifact, "maths", [short[0], long, short[1]])]
    asked = []

    def rewards(answers, contexts, **_settings) -> list[Reward]:
        asked.extend(problem.prompt for problem, _ in answers)
        return [Reward(float(i % 2), None) for i in range(len(answers))]

    monkeypatch.setattr(reward_function, "rewards", rewards)
    trained = train_grpo(toy_store, "grpo", model, sets, settings(steps=2), seed=0)
    told = json.loads((trained.payload / "data.json").read_text())
    tokens = len(user_prompt_ids(load(model.payload).tokenizer, long.prompt))
    assert told == {
        "problems": 2, "too_long": 1, "dropped": [{"id": long.id, "reason": "too long", "tokens": tokens}],
    }  # fmt: skip
    assert set(asked) == {problem.prompt for problem in short}


def test_a_chunk_bounds_prompts_as_the_context_does(toy_lm, monkeypatch):
    """The longest that fits with its answer is kept; one token more is not."""
    problems = [Problem(domain="toy", prompt="1 " * n, gold=None, verifier="maths", spec={}) for n in range(1, 60)]
    monkeypatch.setattr(prompt_sampling, "attention_chunk", lambda config: 40)
    kept, told = prompt_sampling.fitting(toy_lm, problems, max_new_tokens=CONFIG.max_new_tokens)
    lengths = [len(user_prompt_ids(toy_lm.tokenizer, p.prompt)) for p in problems]
    assert kept == [p for p, n in zip(problems, lengths, strict=True) if n + CONFIG.max_new_tokens <= 40]
    assert 0 < len(kept) < len(problems)
    assert told["too_long"] == len(problems) - len(kept)


def test_a_run_without_a_prompt_that_fits_is_refused_before_anything_is_sampled(model, artifact, toy_store):
    long = Problem(domain="toy", prompt="1 2 " * 300, gold=None, verifier="maths", spec={})
    with pytest.raises(UserError, match="context") as raised:
        train_grpo(toy_store, "grpo", model, [problem_set(artifact, "maths", [long])], CONFIG, seed=0)
    assert raised.value.got == "none of 1 prompts: context or chunk of 512, max_new_tokens 8"


def test_a_reward_that_is_not_a_number_stops_the_run(model, artifact, toy_store, monkeypatch):
    problems = [problem_set(artifact, "maths", toy_problems(2, verifier="maths"))]
    monkeypatch.setattr(
        reward_function, "rewards", lambda answers, _, **_settings: [Reward(float("nan"), None) for _ in answers]
    )
    with pytest.raises(UserError, match="finite number"):
        train_grpo(toy_store, "grpo", model, problems, CONFIG, seed=0)


def test_long_answers_cost_what_the_buffer_says(model, reward_model, artifact, toy_store):
    """The same answers with and without DAPO's penalty, of which the second half of the budget bears some."""
    problems = [problem_set(artifact, "chat", toy_problems(3))]
    plain, dear = (
        train_grpo(
            toy_store, "grpo", model, problems,
            settings(steps=1, objective=Objective(preset="dr_grpo", overlong_buffer=share)),
            seed=0, reward_model=reward_model,
        ).metrics()[0]
        for share in (0.0, 0.5)
    )  # fmt: skip
    assert plain["length"] == dear["length"]
    assert plain["truncated"] > 0.5
    assert plain["reward"] - 1 < dear["reward"] < plain["reward"] - 0.5


def test_rules_of_the_recipe_make_the_reward_and_are_told_apart(model, reward_model, artifact, toy_store):
    """The same answers with and without a gate that none of them passes."""
    problems = [problem_set(artifact, "chat", toy_problems(3))]
    shut = Rewards(format=FormatRule(weight=0.0, gate=1.0, think=True, answer=False, stop=False), floor=-0.5)
    half = Rewards(correct=Rule(weight=0.5), repetition=Rule(weight=0.25))
    plain, halved = (
        train_grpo(
            toy_store, "grpo", model, problems, settings(steps=1, rewards=rules), seed=0, reward_model=reward_model
        ).metrics()[0]
        for rules in (None, half)
    )
    assert not any(key.startswith("rule/") for key in plain)
    assert halved["rule/correct"] == plain["reward"]
    assert halved["reward"] == pytest.approx(0.5 * halved["rule/correct"] + 0.25 * halved["rule/repetition"], abs=2e-4)
    with pytest.raises(UserError, match="rewards differ"):
        train_grpo(
            toy_store,
            "shut",
            model,
            problems,
            settings(steps=1, rewards=shut, probe_groups=2),
            seed=0,
            reward_model=reward_model,
        )


@pytest.mark.parametrize("key", ["samples", "temperature", "length_weight", "max_new_tokens"])
def test_settings_that_cannot_teach_are_refused(key):
    bad = {"samples": 1, "temperature": 0.0, "length_weight": 1.0, "max_new_tokens": 0}
    with pytest.raises(ValidationError, match=key):
        settings(**{key: bad[key]})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"top_p": 0.9}, "sampling mask"),
        ({"rewards": Rewards(length=LengthRule())}, "one price"),
        ({"prompts": 4, "minibatches": 3}, "shared out evenly"),
        ({"overlap": True}, "have to be corrected"),
        ({"int8": True}, "have to be corrected"),
        ({"engine": "vllm", "top_p": 0.9, "objective": Objective(keep_sampling_mask=True)}, "the local engine's"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes, rule):
    with pytest.raises(ValidationError, match=rule):
        settings(**changes)


def test_a_reward_model_that_parts_from_the_rule_stops_the_run(model, reward_model, artifact, toy_store, monkeypatch):
    spec = {"words": [0, 99], "sentences": [0, 9], "must_not": [], "must_mention": [["x"]], "persona_marks": []}
    problems = [Problem(domain="toy", prompt=f"{i}?", gold=None, verifier="rubric", spec=spec) for i in range(4)]
    seen = []

    def parting(proxy, held_out, *, window):
        seen.append((list(proxy), list(held_out), window))
        return "they part" if len(proxy) == 3 else None

    monkeypatch.setattr(grpo, "reward_hacking", parting)
    trained = train_grpo(
        toy_store, "hacked", model, [problem_set(artifact, "open", problems)], settings(hacking_window=2), seed=0,
        reward_model=reward_model,
    )  # fmt: skip
    rows = trained.metrics()
    assert [row.get("stopped") for row in rows] == [None, None, "they part"]
    proxy, held_out, window = seen[-1]
    assert (proxy, held_out) == ([row["proxy"] for row in rows], [row["held_out"] for row in rows])
    assert window == 2


def test_a_window_of_one_is_refused():
    with pytest.raises((UserError, ValidationError), match="told from chance"):
        settings(hacking_window=1)


class Even(LocalEngine):
    """Answers each prompt alike; only every third problem's answers will have rewards that differ."""

    def generate(self, prompts, *, samples, sampling, on_finished=None):
        return [
            [
                Completion(token_ids=[7], logps=[-1.0], finish=FinishReason.STOP, prompt_index=p, sample_index=i)
                for i in range(samples)
            ]
            for p in range(len(prompts))
        ]


def test_dynamic_sampling_goes_on_until_enough_groups_have_a_signal(toy_lm):
    """Only every third problem has rewards that differ: 2 wanted of 6 problems, in two rounds."""
    problems = [Problem(domain="toy", prompt=str(i), gold=None, verifier="rubric", spec={}) for i in range(9)]
    asked: list[str] = []

    def reward(answers, contexts) -> list[Reward]:
        asked.extend(problem.prompt for problem, _ in answers[::2])
        return [Reward(float(i % 2 and int(p.prompt) % 3 == 0), None) for i, (p, _) in enumerate(answers)]

    def rolled(cursor: int, preset: PresetName) -> Rollout:
        config = settings(samples=2, objective=Objective(preset=preset))
        notes = [{"cursor": cursor, "solve_rates": {}}]
        run = Run(
            lm=toy_lm, reference=None, problems=problems, held_out=[], reward=reward, config=config, seed=0,
            notes=notes,
        )  # fmt: skip
        return roll_out(run, Even(toy_lm.model), 1)

    order = [p.prompt for p in prompt_sampling.shuffled(problems, 0, 9, 0)]
    for cursor in range(4):
        asked.clear()
        rollout = rolled(cursor, "dapo")
        signals, rounds = [], 0
        while sum(signals) < 2 and rounds < 3:
            upto = cursor + len(signals) + 2 - sum(signals)
            signals = [int(p) % 3 == 0 for p in order[cursor:upto]]
            rounds += 1
        assert asked == [g.problem.prompt for g in rollout.sampled] == order[cursor : cursor + len(signals)]
        assert [g.has_signal for g in rollout.groups] == sorted(signals, reverse=True)[:2]
        assert rollout.cursor == cursor + len(signals)
        plain = rolled(cursor, "dr_grpo")
        assert [g.problem.prompt for g in plain.groups] == order[cursor : cursor + 2]
