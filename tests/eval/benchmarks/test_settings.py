"""What may be set in the place of a benchmark's protocol, and what means nothing."""

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.settings import Settings, fresh_seed
from afterbase.eval.tasks.mathematics import aime2024, math500


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"limit": 0}, "`--limit` is 1 or more"),
        ({"runs": 0}, "`--runs` is 1 or more"),
        ({"temperatures": (3.0,)}, "a temperature is from 0 to 2"),
        ({"temperatures": (-0.1,)}, "a temperature is from 0 to 2"),
        ({"max_tokens": 0}, "`--max-new-tokens` is 1 or more"),
        ({"budgets": (0,)}, "`--budgets` is 1 or more"),
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(settings, rule):
    with pytest.raises(UserError, match=rule):
        Settings(**settings)


@pytest.mark.parametrize("settings", [{"runs": 2}, {"temperatures": (0.0, 0.0)}], ids=str)
def test_greedy_runs_are_not_repeated(settings):
    with pytest.raises(UserError, match="a greedy answer is the same each time"):
        Settings(**settings).plan(math500.TASK)


def test_a_plan_is_the_protocols_unless_told_otherwise():
    assert Settings().plan(math500.TASK) == [0.0]
    assert Settings().plan(aime2024.TASK) == [0.7] * 16
    assert Settings(runs=3).plan(aime2024.TASK) == [0.7] * 3
    assert Settings(temperatures=(0.0, 0.9)).plan(math500.TASK) == [0.0, 0.9]
    assert Settings(temperatures=(0.3, 0.9), runs=5).plan(math500.TASK) == [0.3, 0.9, 0.3, 0.9, 0.3]


def test_seed_of_fresh_problems_is_drawn_once_for_a_folder(tmp_path):
    drawn = fresh_seed(None, tmp_path / "a")
    assert fresh_seed(None, tmp_path / "a") == drawn
    assert fresh_seed(3, tmp_path / "a") == 3
    assert fresh_seed(None, tmp_path / "b") != drawn
