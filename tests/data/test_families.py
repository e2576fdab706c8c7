"""Problems of reasoning-gym's families: disjoint, repeatable, each gold accepted; mistakes named."""

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Status, read_problems
from afterbase.core.store import Store
from afterbase.data.families import Family, family_problems, make_family
from afterbase.data.held_out import for_tests
from afterbase.verify.check import check

GCD = Family(family="gcd", settings={"max_value": 60}, train=20, test=5)


def test_splits_are_disjoint_and_of_the_share_kept_for_tests():
    train, test = family_problems("divisors", GCD, seed=1)
    assert (len({p.prompt for p in train}), len({p.prompt for p in test})) == (20, 5)
    assert {for_tests(p.spec["entry"]["question"]) for p in train} == {False}
    assert {for_tests(p.spec["entry"]["question"]) for p in test} == {True}
    assert {p.domain for p in [*train, *test]} == {"divisors"}
    assert all(p.prompt.endswith("\n" + GCD.instruction) for p in train)
    again = family_problems("divisors", GCD, seed=1)
    assert [p.id for p in again[0]] == [p.id for p in train]
    assert [p.id for p in family_problems("divisors", GCD, seed=2)[0]] != [p.id for p in train]


def test_a_family_judges_its_own_answers(tmp_path):
    made = make_family(Store(tmp_path), "divisors", GCD, seed=0)
    problem = read_problems(made.payload / "test.parquet")[0]
    assert problem.gold is not None
    assert check(problem, f"So it is {problem.gold}").status is Status.OK
    assert check(problem, "So it is \\boxed{0}").status is Status.WRONG


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"family": "gdc"}, "data set of reasoning-gym"),
        ({"settings": {"max_valeu": 3}}, "settings of a family"),
        ({"settings": {"max_value": -3}}, "settings of a family"),
        ({"settings": {"max_value": 2, "max_numbers": 2}}, "as many distinct problems"),
    ],
)
def test_mistakes_are_named(changes, rule):
    with pytest.raises(UserError, match=rule):
        family_problems("divisors", GCD.model_copy(update=changes), seed=0)
