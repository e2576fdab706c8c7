"""Hand-worked cases, published values, and properties that hold for any input."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.intervals import wilson
from afterbase.eval.statistics import (
    Difference,
    bootstrap_mean,
    clustered_error,
    clustered_wilson,
    holm,
    items_to_see,
    majority_at_k,
    non_inferior,
    paired_bootstrap,
    pass_at_k,
    seen_with,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe 1998, table I, method 3 (score without continuity correction)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_published(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_inside_the_unit_interval_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    mirrored = wilson(n - successes, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high))


def test_wilson_widens_with_the_level() -> None:
    assert wilson(5, 10, 0.99).low < wilson(5, 10, 0.95).low < wilson(5, 10, 0.5).low


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(outcomes: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(outcomes)))
    subsets = list(itertools.combinations(outcomes, k))
    assert pass_at_k(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(
    ("answers", "correct", "k", "score"),
    [
        (["4", "4", "5"], [True, True, False], 3, 1.0),
        (["5", "5", "4"], [False, False, True], 3, 0.0),
        (["4", "5"], [True, False], 2, 0.5),
        (["4", "5", "6"], [True, False, False], 3, 1 / 3),
        (["4", None, None], [True, False, False], 3, 1.0),
        ([None, None], [False, False], 2, 0.0),
        (["5", "4", "4"], [False, True, True], 1, 0.0),
        (["4.0", "4"], [True, True], 2, 1.0),
    ],
)
def test_majority(answers: list[str | None], correct: list[bool], k: int, score: float) -> None:
    assert majority_at_k(answers, correct, k) == pytest.approx(score)


@given(st.permutations(["4", "4", "5", "5", "6", None]))
def test_majority_does_not_depend_on_the_order(answers: list[str | None]) -> None:
    assert majority_at_k(answers, [a == "4" for a in answers], len(answers)) == 0.5


def test_bootstrap_mean_weighs_clusters_not_samples() -> None:
    interval = bootstrap_mean([[1.0]] * 20 + [[0.0, 0.0, 0.0, 0.0]] * 20, seed=0)
    assert interval.low < 0.5 < interval.high
    assert interval.low + interval.high == pytest.approx(1.0, abs=0.06)


def test_repeating_a_sample_does_not_narrow_the_interval() -> None:
    once = [[float(i % 3 == 0)] for i in range(30)]
    assert bootstrap_mean([v * 16 for v in once], seed=1) == bootstrap_mean(once, seed=1)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(200):
        skill = rng.beta(2, 3, size=50)
        low, high = bootstrap_mean(rng.binomial(1, skill[:, None], (50, 4)).tolist(), seed=trial, draws=400)
        covered += low <= 2 / 5 <= high
    assert 0.90 <= covered / 200 <= 0.98


def test_bootstrap_slices_agree_with_the_declared_number_of_draws() -> None:
    a = {str(i): 0.0 for i in range(3_000)}
    b = {str(i): float(i % 2) for i in range(3_000)}
    result = paired_bootstrap(a, b, seed=0, draws=1_000)
    assert result.p == pytest.approx(2 / 1_001)
    assert result.difference == 0.5


ITEMS = st.dictionaries(
    st.integers(0, 99).map(str),
    st.tuples(st.sampled_from([0, 1 / 3, 0.5, 1]), st.sampled_from([0, 1 / 3, 0.5, 1])),
    min_size=1,
    max_size=30,
)


@settings(max_examples=50)
@given(ITEMS)
def test_swapping_a_and_b_mirrors_the_difference(items: dict[str, tuple[float, float]]) -> None:
    a, b = ({key: pair[side] for key, pair in items.items()} for side in (0, 1))
    there, back = paired_bootstrap(a, b, seed=3, draws=300), paired_bootstrap(b, a, seed=3, draws=300)
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert there.p == back.p
    assert there.low - 1e-9 <= there.difference <= there.high + 1e-9 or len(items) < 30


@settings(max_examples=50)
@given(ITEMS)
def test_the_order_of_items_moves_nothing(items: dict[str, tuple[float, float]]) -> None:
    a, b = ({key: pair[side] for key, pair in items.items()} for side in (0, 1))
    reversed_a = dict(reversed(a.items()))
    assert paired_bootstrap(a, b, seed=0, draws=100) == paired_bootstrap(reversed_a, b, seed=0, draws=100)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 40])
def test_equal_differences_have_an_exact_interval_and_p(n: int) -> None:
    a = {str(i): i % 2 / 3 for i in range(n)}
    none_differs = 0.025 ** (1 / n)
    same = paired_bootstrap(a, a, seed=0)
    assert (same.difference, same.p) == (0.0, 1.0)
    assert (same.low, same.high) == pytest.approx((none_differs - 1, 1 - none_differs))
    shifted = paired_bootstrap(a, {key: value + 0.25 for key, value in a.items()}, seed=0)
    assert shifted.low < 0.25 < shifted.high
    assert shifted.p == pytest.approx(min(1.0, 2 / 2**n))


@pytest.mark.parametrize("n", range(1, 9))
def test_where_all_are_won_p_and_interval_agree_with_exact_tests(n: int) -> None:
    from scipy.stats import binomtest

    lost, won = ({str(i): value for i in range(n)} for value in (0.0, 1.0))
    result = paired_bootstrap(lost, won, seed=0)
    assert result.p == pytest.approx(binomtest(n, n, 0.5).pvalue)
    exact = binomtest(n, n).proportion_ci(0.95, method="exact")
    assert (result.low, result.high) == pytest.approx((2 * exact.low - 1, 1.0))
    assert (result.p <= 0.05) == (result.low > 0)
    assert bootstrap_mean([[1.0]] * n, seed=0) == pytest.approx((exact.low, 1.0))


@given(st.floats(0, 1), st.integers(1, 50))
def test_an_interval_of_equal_values_has_width_and_holds_them(value: float, n: int) -> None:
    low, high = bootstrap_mean([[value]] * n, seed=0)
    assert 0 <= low <= value <= high <= 1
    assert high - low == pytest.approx(1 - 0.025 ** (1 / n))


def test_p_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(11)
    for trial in range(30):
        a, b = ({str(i): float(v) for i, v in enumerate(rng.random(40))} for _ in range(2))
        result = paired_bootstrap(a, b, seed=trial, draws=999)
        assert (result.p <= 0.05) == (result.low > 0 or result.high < 0) or abs(result.p - 0.05) < 0.01


def test_pairing_is_worth_something() -> None:
    """A small gain on every problem is clear when paired, though problems differ far more than checkpoints do."""
    a = {str(i): i / 100 for i in range(80)}
    b = {key: value + 0.01 * (1 + int(key) % 3) for key, value in a.items()}
    result = paired_bootstrap(a, b, seed=0)
    assert result.low > 0.01
    assert result.p < 0.001


@pytest.mark.parametrize(("low", "margin", "verdict"), [(-0.01, 0.02, True), (-0.03, 0.02, False), (0.01, 0.02, True)])
def test_non_inferior(low: float, margin: float, verdict: bool) -> None:
    assert non_inferior(Difference(difference=0.02, low=low, high=0.05, p=0.2), margin) is verdict


def test_clustered_error_is_that_of_the_questions_means() -> None:
    # means 0, 0.5, 1: their standard deviation is 0.5
    assert clustered_error([[0, 0], [0, 1], [1, 1]]) == pytest.approx(0.5 / 3**0.5)
    assert clustered_error([[0, 1]]) == 0


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_clustered_wilson_of_one_answer_a_question_is_wilsons(values: list[bool]) -> None:
    assert clustered_wilson([[float(v)] for v in values]) == pytest.approx(wilson(sum(values), len(values)))


def test_answers_that_repeat_each_other_are_worth_one() -> None:
    values = [[0.0] * 16, [1.0] * 16, [1.0] * 16]
    assert clustered_wilson(values) == pytest.approx(wilson(2, 3))


def test_answers_that_owe_nothing_to_their_question_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, size=(200, 16)).astype(float).tolist()
    low, high = clustered_wilson(values)
    one = wilson(100, 200)
    assert high - low < (one.high - one.low) / 3


def test_clustered_wilson_covers_the_truth() -> None:
    """Questions of differing difficulty, five answers each: 95 % of intervals hold the mean (within 3 points here)."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        chances = rng.beta(0.5, 0.5, size=40)
        low, high = clustered_wilson((rng.random((40, 5)) < chances[:, None]).astype(float).tolist())
        held += low <= 0.5 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_holm_published() -> None:
    # Holm's procedure on 0.01, 0.04, 0.03: 0.03, then max(0.03, 0.06), then max(0.06, 0.04)
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1))
def test_holm_keeps_order_and_lies_between_p_and_bonferroni(p_values: dict[str, float]) -> None:
    corrected = holm(p_values)
    assert list(corrected) == list(p_values)
    for name, p in p_values.items():
        assert p <= corrected[name] <= min(1, len(p_values) * p) + 1e-12


def test_power_textbook() -> None:
    # (1.95996 + 0.84162)^2 = 7.8489
    assert items_to_see(0.01, 0.5) == 19623
    assert seen_with(19623, 0.5) == pytest.approx(0.01, rel=1e-4)
