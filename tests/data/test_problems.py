import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.core.store import Store
from afterbase.data import problems as module  # its `test_problems` would be collected as a test
from afterbase.data.domains import DOMAINS
from afterbase.data.open import reviewed_rows
from afterbase.data.problems import (
    Problems,
    identity,
    make_problems,
    refuse_rejected_golds,
    split_problems,
    train_count,
    train_problems,
)


def sum_problem(a: int, b: int, *, gold: int | None = None) -> Problem:
    return Problem(
        domain="toy",
        prompt=f"What is {a} + {b}?",
        gold=f"\\boxed{{{a + b if gold is None else gold}}}",
        verifier="maths",
        spec={"answer": str(a + b)},
    )


def toy_domain(prompts: int) -> SimpleNamespace:
    """A domain with so many different problems."""
    return SimpleNamespace(NAME="toy", problem=lambda rng: sum_problem(rng.randrange(prompts), 1))


def program_problem(prompt: str, program: str) -> Problem:
    spec = {"function": "solve", "tests": []}
    return Problem(domain="toy", prompt=prompt, gold=program, verifier="python", spec=spec)


@given(train=st.integers(1, 30), test=st.integers(1, 30), seed=st.integers(0, 100))
@settings(deadline=None)
def test_splits_have_the_size_asked_for_and_share_no_prompt(train: int, test: int, seed: int):
    of_train, of_test = split_problems(toy_domain(120), Problems(train=train, test=test), seed)
    assert (len(of_train), len(of_test)) == (train, test)
    assert len({p.prompt for p in [*of_train, *of_test]}) == train + test


@pytest.mark.parametrize("name", DOMAINS)
def test_a_shipped_domain_is_split_by_the_seed_alone(name: str):
    sizes = Problems(train=12, test=6)
    first, again, other = (split_problems(DOMAINS[name], sizes, seed) for seed in (3, 3, 4))
    assert first == again
    assert {p.prompt for p in first[0]} != {p.prompt for p in other[0]}


def test_more_training_problems_leave_the_test_problems_alone():
    few, many = (split_problems(DOMAINS["logic"], Problems(train=n, test=8), 0) for n in (5, 30))
    assert few[1] == many[1]
    assert few[0] == many[0][:5]


def test_one_program_in_two_phrasings_is_one_problem():
    phrasings = [("Sort.", "def solve(xs): ..."), ("Order.", "def solve(xs): ..."), ("Sum.", "def solve(x): ...")]
    domain = SimpleNamespace(NAME="toy", problem=lambda rng: program_problem(*rng.choice(phrasings)))
    train, test = split_problems(domain, Problems(train=1, test=1), 0)
    assert train[0].gold != test[0].gold
    with pytest.raises(UserError, match="2 distinct"):
        split_problems(domain, Problems(train=2, test=1), 0)


def test_code_splits_share_no_program():
    train, test = split_problems(DOMAINS["code"], Problems(train=30, test=15), 0)
    assert len({p.gold for p in [*train, *test]}) == 45
    assert identity(train[0]) == train[0].gold


def test_taken_prompts_come_in_neither_split():
    free = split_problems(toy_domain(40), Problems(train=10, test=5), 0)
    taken = {p.prompt for split in free for p in split[:3]}
    train, test = split_problems(toy_domain(40), Problems(train=10, test=5), 0, taken=taken)
    assert len(train) == 10
    assert not taken & {p.prompt for p in [*train, *test]}


def test_a_domain_with_too_few_distinct_problems_is_refused():
    with pytest.raises(UserError, match="7 distinct `toy` problems, 10 asked for") as raised:
        split_problems(toy_domain(7), Problems(train=6, test=4), 0)
    assert "lower `train` and `test`" in raised.value.remedy


def test_every_shipped_gold_is_accepted():
    rng = random.Random(0)
    refuse_rejected_golds([DOMAINS[name].problem(rng) for name in DOMAINS for _ in range(3)])


def test_a_gold_that_its_verifier_rejects_is_refused():
    with pytest.raises(UserError, match=r"1 of 3 rejected; the first, of `toy`: wrong \(mismatch\).*\n") as raised:
        refuse_rejected_golds([sum_problem(1, 1), sum_problem(1, 2, gold=4), sum_problem(1, 3)])
    assert "`\\boxed{4}` on `What is 1 + 2?`" in raised.value.got


def test_a_domain_with_a_rejected_gold_makes_no_artifact(tmp_path, monkeypatch):
    wrong = SimpleNamespace(NAME="toy", problem=lambda rng: sum_problem(rng.randrange(50), 1, gold=99))
    monkeypatch.setitem(DOMAINS, "toy", wrong)
    store = Store(tmp_path)
    with pytest.raises(UserError, match="every verifier must accept its own gold"):
        make_problems(store, "toy", Problems(train=2, test=2), seed=0)
    assert store.stages == []


def test_the_artifact_holds_both_splits(tmp_path):
    sizes = Problems(train=5, test=3)
    artifact = make_problems(Store(tmp_path / "a"), "arithmetic", sizes, seed=0)
    assert (train_problems(artifact), module.test_problems(artifact)) == split_problems(DOMAINS["arithmetic"], sizes, 0)
    again, other = (make_problems(Store(tmp_path / "b"), "arithmetic", sizes, seed=seed) for seed in (0, 1))
    assert again.digest == artifact.digest != other.digest


def test_reviewed_prompts_are_in_no_split_of_chat(tmp_path):
    artifact = make_problems(Store(tmp_path), "chat", Problems(train=150, test=50), seed=0)
    drawn = {p.prompt for p in [*train_problems(artifact), *module.test_problems(artifact)]}
    reviewed = {row["prompt"] for row in reviewed_rows("chat")}
    assert not drawn & reviewed
    free = split_problems(DOMAINS["chat"], Problems(train=150, test=50), 0)
    assert reviewed & {p.prompt for split in free for p in split}  # without the rule there would be some


@pytest.mark.parametrize("plan_only", [True, False])
def test_the_number_of_training_problems_is_known_before_they_are_made(tmp_path, plan_only: bool):
    store = Store(tmp_path, plan_only=plan_only)
    assert train_count(make_problems(store, "arithmetic", Problems(train=5, test=2), seed=0)) == 5
