"""Which prompts come when: all of them once an epoch, or those of middle difficulty more often."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import Problem
from afterbase.train.grpo.prompt_sampling import difficulty_weighted, shuffled


def toy_problems(count: int) -> list[Problem]:
    return [
        Problem(domain="toy", prompt=f"{i}?", gold=None, verifier="rubric", spec={"answer": "1"}) for i in range(count)
    ]


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 5))
@settings(deadline=None)
def test_every_problem_comes_once_an_epoch(count, prompts, seed):
    problems = toy_problems(count)
    shown = [p.id for step in range(3 * count) for p in shuffled(problems, step * prompts, prompts, seed)]
    everything = sorted(p.id for p in problems)
    assert len(shown) == 3 * count * prompts
    epochs = [shown[i : i + count] for i in range(0, len(shown), count)]
    assert all(sorted(epoch) == everything for epoch in epochs)


def test_epochs_and_seeds_have_orders_of_their_own():
    problems = toy_problems(30)
    first, second, other = (
        [p.id for p in shuffled(problems, cursor, 30, seed)] for cursor, seed in ((0, 0), (30, 0), (0, 1))
    )
    assert first != second
    assert first != other


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99))
@settings(deadline=None)
def test_a_draw_repeats_a_problem_only_where_there_are_too_few(count, prompts, cursor):
    problems = toy_problems(count)
    drawn = Counter(p.id for p in difficulty_weighted(problems, cursor, prompts, 0, {}))
    assert sum(drawn.values()) == prompts
    assert max(drawn.values()) == -(-prompts // count)


def test_problems_of_middle_difficulty_come_most_often():
    """One of three, 2,000 draws: weights 0.1, 1.1 and 0.1 + 4 * 0.9 * 0.1 = 0.46."""
    problems = toy_problems(3)
    rates = {problems[0].id: 1.0, problems[1].id: 0.5, problems[2].id: 0.9}
    drawn = Counter(difficulty_weighted(problems, cursor, 1, 7, rates)[0].id for cursor in range(2000))
    for problem, weight in zip(problems, (0.1, 1.1, 0.46), strict=True):
        assert drawn[problem.id] / 2000 == pytest.approx(weight / 1.66, abs=0.04)
