"""Held-out problems: which, and what the policy's answers to them come to."""

import math

import pytest

from afterbase.core.sample import Problem, Status, Verdict, write_problems
from afterbase.reward.route import Reward
from afterbase.train.grpo.groups import Group
from afterbase.train.grpo.held_out_problems import held_out_problems, measured_on, score


def problem(name: str) -> Problem:
    return Problem(domain="toy", prompt=name, gold="1", verifier="exact", spec={"answer": "1"})


def group(*right: bool | None) -> Group:
    """Answers that a rule calls right or wrong, or, with None, that a model alone values at 0.25."""

    def reward(ok: bool | None) -> Reward:
        if ok is None:
            return Reward(0.25, None)
        status = Status.OK if ok else Status.WRONG
        return Reward(float(ok), Verdict(verifier="exact", status=status, value=float(ok), reason="r"))

    return Group(problem=problem("p"), prompt_ids=[1], completions=[], texts=[], rewards=[reward(ok) for ok in right])


def test_of_an_artifact_with_test_problems_those_are_held_out(artifact):
    train, test = [problem("a")], [problem("b"), problem("c")]

    def write(folder, tests) -> None:
        write_problems(folder / "train.parquet", train)
        write_problems(folder / "test.parquet", tests)

    assert held_out_problems(artifact("split", lambda folder: write(folder, test))) == test
    assert held_out_problems(artifact("all", lambda folder: write(folder, []))) == train


def test_the_accuracy_is_a_mean_over_problems_with_an_interval_as_wide_as_they_are_few():
    numbers = measured_on([group(True, True), group(True, False), group(False, False), group(True, True)])
    assert numbers["held_out_accuracy"] == numbers["held_out_reward"] == 0.625
    assert numbers["low"] == pytest.approx(0.2194, abs=1e-4)
    assert numbers["high"] == pytest.approx(0.9081, abs=1e-4)
    assert score(numbers) == -0.625


def test_where_no_rule_decides_the_reward_is_the_score():
    numbers = measured_on([group(None), group(None)])
    assert numbers == {"held_out_reward": 0.25}
    assert score(numbers) == -0.25


def test_where_nothing_is_known_no_step_is_the_best():
    assert measured_on([]) == {}
    assert score({}) == math.inf
