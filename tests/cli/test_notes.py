from types import SimpleNamespace
from typing import Any

from afterbase.cli.notes import notes_on


def outcome(*curves: tuple[str, list[dict[str, Any]]]) -> Any:
    """A run of one seed that has curves of RL, and nothing else to tell of."""
    made = [SimpleNamespace(name=name, metrics=lambda rows=rows: rows) for name, rows in curves]
    return SimpleNamespace(seed=3, curves=made, drafts={}, reward_model=None, examinations=[])


def test_a_run_that_was_ended_is_told_with_its_reason():
    ended = ("grpo", [{"step": 1}, {"step": 2, "stopped": "no group has rewards that differ"}])
    through = ("grpo, control", [{"step": 1}, {"step": 2}])
    assert notes_on([outcome(ended, through)]) == [
        "grpo, seed 3: stopped after step 2, as no group has rewards that differ."
    ]


def test_what_the_reward_model_and_the_rule_saw_is_compared_at_both_ends():
    rows = [{"step": n, "proxy": float(n), "held_out": -float(n), "length": 10.0 * n} for n in range(1, 11)]
    [note] = notes_on([outcome(("grpo", rows))])
    assert "grpo, seed 3: over 10 steps" in note
    assert "changed by +8.000 (standard error 0.707)" in note
    assert "of them by -8.000 (0.707), their length by +80.0 tokens" in note


def test_too_few_steps_with_both_values_are_not_compared():
    rows = [{"step": n, "proxy": 1.0, "held_out": 1.0, "length": 1.0} for n in range(3)]
    assert notes_on([outcome(("grpo", rows + [{"step": 4, "proxy": 1.0}] * 9))]) == []
