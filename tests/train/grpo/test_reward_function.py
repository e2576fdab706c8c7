"""The reward function: the price of an overlong answer, and answers whose reward is none."""

import math

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.route import Reward
from afterbase.reward.rule_settings import Rewards
from afterbase.train.grpo import reward_function as module
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.reward_function import reward_function
from afterbase.train.optimizer import Optimisation
from afterbase.verify.answer_context import AnswerContext

PROBLEM = Problem(domain="toy", prompt="1?", gold=None, verifier="maths", spec={"answer": "1"})
FAILED = Reward(None, Verdict(verifier="maths", status=Status.FAILED, value=0.0, reason="verifier_error"))


def config(**objective) -> Grpo:
    return Grpo(
        steps=1, prompts=1, samples=2, temperature=1.0, max_new_tokens=10, length_weight=0.0,
        objective=Objective(**objective), optimisation=Optimisation(learning_rate=1e-3, floor=1e-3),
    )  # fmt: skip


@pytest.mark.parametrize(("length", "cost"), [(6, 0.0), (8, 0.0), (9, -0.5), (10, -1.0)])
def test_the_last_fifth_of_the_budget_costs_up_to_one(length, cost):
    answers = [(PROBLEM, "\\boxed{1}"), (PROBLEM, "\\boxed{2}")]
    plain = reward_function(config(), None)(answers, [AnswerContext(length)] * 2)
    dear = reward_function(config(overlong_buffer=0.2), None)(answers, [AnswerContext(length)] * 2)
    assert [r.value for r in plain] == [1.0, 0.0]
    assert [r.value for r in dear] == pytest.approx([1.0 + cost, cost])


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ([FAILED] * 2 + [Reward(1.0, None)] * 6, "at most 20%"),
        ([Reward(math.nan, None)] + [Reward(1.0, None)] * 7, "finite number"),
        ([Reward(math.inf, None)] + [Reward(1.0, None)] * 7, "finite number"),
    ],
)
def test_rewards_that_are_none_are_refused(monkeypatch, given, rule):
    monkeypatch.setattr(module, "rewards", lambda *_, **__: given)
    with pytest.raises(UserError, match=rule):
        reward_function(config(), None)([(PROBLEM, "1")] * 8, [AnswerContext(1)] * 8)


def test_a_few_failed_verdicts_pass(monkeypatch):
    given = [FAILED] + [Reward(1.0, None)] * 7
    monkeypatch.setattr(module, "rewards", lambda *_, **__: given)
    assert reward_function(config(), None)([(PROBLEM, "1")] * 8, [AnswerContext(1)] * 8) == given


def test_a_refusal_names_the_function_its_reasons_and_the_last_line_of_the_traceback(tmp_path):
    (tmp_path / "mine.py").write_text("def score(response): return row['x']\n")
    rules = Rewards.model_validate({"own": {"mine": {"function": f"{tmp_path}/mine.py:score"}}})
    reward = reward_function(config().model_copy(update={"rewards": rules}), None)
    with pytest.raises(UserError, match="at most 20%") as raised:
        reward([(PROBLEM, "1")] * 4, [AnswerContext(1)] * 4)
    assert raised.value.got == (
        "100%: raised 4 times in mine.py:score; the first: NameError: name 'row' is not defined (mine.py:1)"
    )


def test_a_problem_without_a_verifier_is_rewarded_by_the_rules(tmp_path):
    (tmp_path / "mine.py").write_text("def score(response, step): return len(response) + step\n")
    rules = Rewards.model_validate({"own": {"mine": {"function": f"{tmp_path}/mine.py:score"}}})
    open_problem = Problem(domain="toy", prompt="1?", gold=None, verifier="none", spec={})
    reward = reward_function(config().model_copy(update={"rewards": rules}), None)
    out = reward([(open_problem, "ab"), (PROBLEM, "\\boxed{1}")], [AnswerContext(1, step=4)] * 2)
    assert [r.value for r in out] == [6.0, 14.0]
    with pytest.raises(UserError, match="prompts without a rule"):
        reward_function(config(), None)([(open_problem, "ab")], [AnswerContext(1)])


def test_a_rule_that_cannot_be_loaded_is_refused_before_anything_is_sampled(tmp_path):
    (tmp_path / "mine.py").write_text("import nowhere\ndef score(response): return 1.0\n")
    rules = Rewards.model_validate({"own": {"mine": {"function": f"{tmp_path}/mine.py:score"}}})
    with pytest.raises(UserError, match="can be loaded"):
        reward_function(config().model_copy(update={"rewards": rules}), None)
