import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.core.store import Store
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.open_domains import reviewed_rows
from afterbase.data.problems import problems as module
from afterbase.data.problems.problems import (
    Problems,
    make_problems,
    refuse_rejected_golds,
    split_problems,
    train_count,
    train_problems,
)
from afterbase.data.problems.test_share import for_tests


def sum_problem(a: int, b: int, *, gold: int | None = None) -> Problem:
    return Problem(
        domain="toy",
        prompt=f"What is {a} + {b}?",
        gold=f"\\boxed{{{a + b if gold is None else gold}}}",
        verifier="maths",
        spec={"answer": str(a + b)},
    )


def toy_domain(prompts: int, gold: int | None = None) -> SimpleNamespace:
    """A domain with so many different problems."""
    return SimpleNamespace(
        NAME="toy",
        problem=lambda rng: sum_problem(rng.randrange(prompts), 1, gold=gold),
        identity=lambda problem: problem.prompt,
    )


@given(train=st.integers(1, 30), test=st.integers(1, 30), seed=st.integers(0, 100))
@settings(deadline=None)
def test_splits_have_the_size_asked_for_and_share_no_prompt(train: int, test: int, seed: int):
    of_train, of_test = split_problems(toy_domain(400), Problems(train=train, test=test), seed)
    assert (len(of_train), len(of_test)) == (train, test)
    assert len({p.prompt for p in [*of_train, *of_test]}) == train + test


@pytest.mark.parametrize("name", DOMAINS)
def test_test_problems_are_those_that_are_kept_for_tests(name: str):
    train, test = split_problems(DOMAINS[name], Problems(train=40, test=20), 0)
    assert all(for_tests(DOMAINS[name].identity(p)) for p in test)
    assert not any(for_tests(DOMAINS[name].identity(p)) for p in train)


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


def test_a_program_in_two_phrasings_is_in_one_split_only():
    train, test = split_problems(DOMAINS["code"], Problems(train=300, test=60), 0)
    assert len({p.gold for p in train}) < 300  # two phrasings of one program do come
    assert not {p.gold for p in train} & {p.gold for p in test}


def test_taken_prompts_come_in_neither_split():
    free = split_problems(toy_domain(60), Problems(train=10, test=5), 0)
    taken = {p.prompt for split in free for p in split[:3]}
    train, test = split_problems(toy_domain(60), Problems(train=10, test=5), 0, taken=taken)
    assert len(train) == 10
    assert not taken & {p.prompt for p in [*train, *test]}


def test_a_domain_with_too_few_distinct_problems_is_refused():
    kept = sum(for_tests(f"What is {a} + 1?") for a in range(7))
    message = f"{7 - kept} distinct `toy` problems for training, {kept} for tests, 9 and 1 asked for"
    with pytest.raises(UserError, match=message) as raised:
        split_problems(toy_domain(7), Problems(train=9, test=1), 0)
    assert "lower `train` and `test`" in raised.value.remedy


def test_every_shipped_gold_is_accepted():
    rng = random.Random(0)
    refuse_rejected_golds([DOMAINS[name].problem(rng) for name in DOMAINS for _ in range(3)])


def test_a_gold_that_its_verifier_rejects_is_refused():
    with pytest.raises(UserError, match=r"1 of 3 rejected; the first, of `toy`: wrong \(mismatch\).*\n") as raised:
        refuse_rejected_golds([sum_problem(1, 1), sum_problem(1, 2, gold=4), sum_problem(1, 3)])
    assert "`\\boxed{4}` on `What is 1 + 2?`" in raised.value.got


def test_a_domain_with_a_rejected_gold_makes_no_artifact(tmp_path, monkeypatch):
    monkeypatch.setitem(DOMAINS, "toy", toy_domain(50, gold=99))
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
