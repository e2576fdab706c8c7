"""Problems of reasoning-gym's families: disjoint, repeatable, each gold accepted; mistakes named."""

from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Status, read_problems
from afterbase.core.store import Store
from afterbase.data.problems.puzzle_families import Family, _answer, family_problems, make_family
from afterbase.data.problems.test_share import for_tests
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


# Tuples in the metadata; a dictionary there and many right answers; fractions there; several lines.
@pytest.mark.parametrize("family", ["arc_agi", "graph_color", "propositional_logic", "gsm_symbolic", "mini_sudoku"])
def test_answers_of_every_form_are_texts_that_the_scorer_takes(family: str, tmp_path: Path) -> None:
    made = make_family(Store(tmp_path), "puzzles", Family(family=family, train=3, test=1), seed=0)
    problems = [p for split in ("train", "test") for p in read_problems(made.payload / f"{split}.parquet")]
    assert len(problems) == 4
    for problem in problems:
        assert problem.gold is not None
        assert check(problem, problem.gold).status is Status.OK
        assert check(problem, "\\boxed{no}").status is Status.WRONG


def test_problems_of_which_no_right_answer_is_known_have_none() -> None:
    train, _ = family_problems("traffic", Family(family="rush_hour", train=1, test=1), seed=0)
    assert (train[0].gold, train[0].spec["entry"]["answer"]) == (None, None)
    assert check(train[0], "\\boxed{A+1}").status is Status.WRONG


class Fussy:
    """A data set whose answers are no texts, and whose scorer takes one spelling of them."""

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling

    def score_answer(self, answer: object, entry: dict[str, object]) -> float:
        assert isinstance(entry["answer"], str)
        return float(answer == self.spelling)


@pytest.mark.parametrize(
    ("answer", "spelling"),
    [
        ((1, 2), "[1, 2]"),
        ((1, 2), "(1, 2)"),
        ((1, 2), "1, 2"),
        ([1, "a"], "1 a"),
        ({"a": 1}, '{"a": 1}'),
        ({"a": 1}, "{'a': 1}"),
        (7, "7"),
        (True, "True"),
    ],
)
def test_an_answer_that_is_no_text_is_spelt_as_its_scorer_wants_it(answer: object, spelling: str) -> None:
    assert _answer(Fussy(spelling), {"question": "", "answer": answer, "metadata": {}}) == spelling
