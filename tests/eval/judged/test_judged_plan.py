"""What is asked for is checked where it is said."""

from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.judged.judged_plan import TASKS, Plan

GOOD: dict[str, Any] = {
    "tasks": TASKS, "models": ("m",), "baseline": "b", "judges": ("j",), "data": Path(), "out": Path(), "limit": None,
    "max_tokens": 20, "judge_tokens": 20, "votes": 2,
}  # fmt: skip


def test_what_is_wanted_is_told() -> None:
    plan = Plan(**{**GOOD, "tasks": ("reward-bench",), "models": (), "baseline": None})
    assert plan.wants("reward-bench")
    assert not plan.wants("arena-hard")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"tasks": ("chess",)}, "judged benchmarks have names"),
        ({"baseline": None}, "compares with a baseline"),
        ({"models": ()}, "of one model or more"),
        ({"votes": 0}, "`--votes` is 1 or more"),
    ],
)
def test_mistakes_are_told(changes, rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        Plan(**{**GOOD, **changes})
