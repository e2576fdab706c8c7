"""How the policy does on held-out problems while it trains: accuracy with its interval, and the mean reward."""

import math
import statistics
from collections.abc import Sequence

from afterbase.core.intervals import wilson
from afterbase.core.sample import Problem, read_problems
from afterbase.core.store import Artifact
from afterbase.train.grpo.groups import Group


def held_out_problems(problems: Artifact) -> list[Problem]:
    """The test problems of an artifact, or all of them where it keeps none for tests."""
    tests = problems.payload / "test.parquet"
    return (read_problems(tests) if tests.is_file() else []) or read_problems(problems.payload / "train.parquet")


def measured_on(groups: Sequence[Group]) -> dict[str, float]:
    """`held_out_reward`, and where rules decide `held_out_accuracy` with `low` and `high`, its 95 % interval.

    The accuracy is the mean over problems of the share of right answers, the interval Wilson's at the number of
    problems: with several answers to each it is too wide rather than too narrow. Where every verifier failed there is
    nothing.
    """
    values = [reward.value for group in groups for reward in group.rewards if reward.value is not None]
    rates = [group.solve_rate for group in groups if not math.isnan(group.solve_rate)]
    numbers = {"held_out_reward": statistics.fmean(values)} if values else {}
    if rates:
        low, high = wilson(sum(rates), len(rates))
        numbers |= {"held_out_accuracy": sum(rates) / len(rates), "low": low, "high": high}
    return numbers


def score(numbers: dict[str, float]) -> float:
    """What the best step has least of: the accuracy's negative, or the reward's where no rule decides."""
    return -numbers.get("held_out_accuracy", numbers.get("held_out_reward", -math.inf))
