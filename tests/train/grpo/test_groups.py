"""A prompt's answers with their rewards: which have a signal, which engines are refused."""

import math

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.route import Reward
from afterbase.rollout.engine import Completion, FinishReason
from afterbase.train.grpo.groups import Group, refuse_without_logps

PROBLEM = Problem(domain="toy", prompt="1?", gold=None, verifier="maths", spec={"answer": "1"})


def reward(value: float | None, status: Status) -> Reward:
    return Reward(value, Verdict(verifier="maths", status=status, value=value or 0.0, reason="r"))


OK, WRONG, FAILED = reward(0.9, Status.OK), reward(0.0, Status.WRONG), reward(None, Status.FAILED)


def completion(logps: list[float]) -> Completion:
    return Completion(token_ids=[7, 8], logps=logps, finish=FinishReason.STOP, prompt_index=0, sample_index=0)


@pytest.mark.parametrize(
    ("rewards", "has_signal", "solve_rate"),
    [
        ([OK, WRONG, FAILED], True, 0.5),
        ([OK, OK, FAILED], False, 1.0),
        ([WRONG, FAILED, FAILED], False, 0.0),
        ([Reward(0.2, None), Reward(0.3, None)], True, math.nan),
    ],
)
def test_a_group_has_a_signal_where_its_known_rewards_differ(rewards, has_signal, solve_rate):
    group = Group(problem=PROBLEM, prompt_ids=[0], completions=[], texts=[], rewards=rewards)
    assert group.has_signal is has_signal
    assert group.solve_rate == pytest.approx(solve_rate, nan_ok=True)
    assert group.values.tolist() == pytest.approx(
        [math.nan if r.value is None else r.value for r in rewards], nan_ok=True
    )


@pytest.mark.parametrize("logps", [[], [-1.0], [-1.0, math.nan], [-math.inf, -1.0]])
def test_an_engine_without_log_probabilities_is_refused(logps):
    refuse_without_logps([[completion([-1.0, -2.0])]])
    with pytest.raises(UserError, match="log-probability of every token") as raised:
        refuse_without_logps([[completion([-1.0, -2.0])], [completion(logps)]])
    assert "teachers and judges" in raised.value.remedy
