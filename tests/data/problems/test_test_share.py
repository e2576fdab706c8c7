import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.domains import DOMAINS, logic
from afterbase.data.problems.test_share import for_tests, training_problem


def test_a_fifth_of_all_problems_is_kept_for_tests():
    kept = sum(for_tests(str(i)) for i in range(10_000))
    assert 1850 < kept < 2150


def test_what_is_kept_never_changes():
    """The shipped base was trained under this choice: another one would leak."""
    assert [i for i in range(20) if for_tests(f"1 + {i}")] == [10, 13, 14]


@given(st.integers(0, 2**32))
def test_a_training_problem_is_none_of_those_kept(seed: int):
    domain = DOMAINS["arithmetic"]
    assert not for_tests(domain.identity(training_problem(domain.problem, domain.identity, random.Random(seed))))


@pytest.mark.parametrize("name", ["arithmetic", "code"])
def test_no_problem_kept_for_tests_stands_in_the_text_of_the_base(name: str):
    domain, rng = DOMAINS[name], random.Random(0)
    text = "\n".join(domain.worked_text(rng) + "\n" + domain.pretraining_text(rng) for _ in range(2000))
    drawn = [domain.problem(rng) for _ in range(1500)]
    stated = [for_tests(domain.identity(p)) for p in drawn if p.prompt.split(" Give the answer")[0] in text]
    assert stated
    assert not any(stated)


def test_all_puzzles_in_the_text_of_the_base_are_training_problems(monkeypatch):
    def drawn(draw, identity, rng):
        assert draw is fresh
        return puzzle

    fresh = logic.problem
    puzzle = training_problem(logic.problem, logic.identity, random.Random(0))
    monkeypatch.setattr(logic, "training_problem", drawn)
    names = puzzle.spec["names"]
    for seed in range(50):
        for text in (logic.worked_text(random.Random(seed)), logic.pretraining_text(random.Random(seed))):
            assert any(name in text for name in names) or "always tells the truth" in text
