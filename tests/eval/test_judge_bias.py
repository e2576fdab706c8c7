"""Each bias is zero for a fair judge, found in a judge that has it, and not found in one that has another."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.eval.judge_bias import (
    Battle,
    agreement,
    by_task,
    consistency,
    length_bias,
    length_gap,
    no_verdict,
    position_bias,
    self_preference,
    verdict_gap,
)

verdicts = st.sampled_from([None, 0.0, 0.5, 1.0])


def battle(first: float | None, second: float | None, *, question: str = "q", longer: int = 1, task: str = "qa"):
    return Battle(question=question, task=task, shown_first=first, shown_second=second, longer=longer)


def battles(judge, n: int = 200) -> list[Battle]:
    """What a judge says of answers whose quality and length are drawn apart; `judge(quality, longer, shown first)`."""
    rng = random.Random(0)
    out = []
    for i in range(n):
        quality, longer = rng.choice([-1, 1]), rng.choice([-7, 7])
        out.append(battle(judge(quality, longer, True), judge(quality, longer, False), question=str(i), longer=longer))
    return out


def test_a_fair_judge_has_no_bias() -> None:
    fair = battles(lambda quality, longer, first: float(quality > 0))
    assert position_bias(fair) is not None
    assert position_bias(fair).value == 0  # type: ignore[union-attr]
    assert consistency(fair).value == 1  # type: ignore[union-attr]
    found = length_bias(fair)
    assert found is not None
    assert found.low < 0 < found.high


def test_a_judge_of_the_first_answer_is_found_out_and_has_no_length_bias() -> None:
    first = battles(lambda quality, longer, first: float(first))
    found = position_bias(first)
    assert found is not None
    assert (found.value, found.high, found.n) == (0.5, 0.5, 200)
    assert 0.48 < found.low < 0.5, "the 200 that were seen are not all battles"
    assert consistency(first).value == 0  # type: ignore[union-attr]
    assert length_bias(first).value == 0  # type: ignore[union-attr]


def test_a_judge_of_length_is_found_out_and_has_no_position_bias() -> None:
    long = battles(lambda quality, longer, first: float(longer > 0))
    assert length_bias(long).value == 0.5  # type: ignore[union-attr]
    assert position_bias(long).value == 0  # type: ignore[union-attr]


def test_self_preference_is_what_other_judges_do_not_share() -> None:
    own = [battle(1.0, 1.0, question="a"), battle(1.0, 0.0, question="b"), battle(None, 1.0, question="c")]
    others = [battle(0.0, 0.0, question="a"), battle(1.0, 1.0, question="a"), battle(0.5, 0.5, question="b")]
    found = self_preference(own, others)
    assert found is not None
    assert (found.value, found.n) == (0.25, 2)
    assert self_preference(own, []) is None


def test_questions_are_resampled_whole() -> None:
    """Ten times the same battle of a question is no more evidence than once."""
    once = [battle(1.0, 0.0, question="a"), battle(0.0, 0.0, question="b")]
    tenfold = [*[battle(1.0, 0.0, question="a")] * 10, battle(0.0, 0.0, question="b")]
    one, ten = position_bias(once), position_bias(tenfold)
    assert one is not None
    assert ten is not None
    assert (one.value, one.low, one.high) == (ten.value, ten.low, ten.high)


def test_agreement_and_tasks() -> None:
    found = agreement([1.0, 0.0, 0.5, None])
    assert found is not None
    assert (found.value, found.n) == (0.5, 3)
    assert agreement([None]) is None
    rates = by_task([battle(1.0, 0.0, task="code"), battle(1.0, 1.0, task="qa"), battle(None, 1.0, task="chat")])
    assert {task: rate.value for task, rate in rates.items()} == {"code": 0.5, "qa": 1.0}


@given(st.lists(st.tuples(verdicts, verdicts, st.integers(-3, 3)), min_size=1, max_size=8))
def test_every_measure_lies_in_its_interval_and_range(rows) -> None:
    seen = [battle(a, b, question=str(i % 3), longer=n) for i, (a, b, n) in enumerate(rows)]
    for found, low, high in (
        (position_bias(seen), -0.5, 0.5),
        (consistency(seen), 0, 1),
        (length_bias(seen), -0.5, 0.5),
        (no_verdict(seen), 0, 1),
    ):
        if found is not None:
            assert low <= found.low <= found.value + 1e-9
            assert found.value - 1e-9 <= found.high <= high
            assert found.n >= 1


def test_replies_without_a_verdict_are_counted() -> None:
    assert no_verdict([battle(None, 1.0), battle(None, None)]).value == pytest.approx(0.75)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("AB")), min_size=1))
def test_the_gap_of_verdicts_is_twice_the_position_bias_where_all_are_given(pairs: list[tuple[str, str]]) -> None:
    judged = [battle(float(a == "A"), float(b == "B"), question=str(i)) for i, (a, b) in enumerate(pairs)]
    found = position_bias(judged)
    assert found is not None
    assert verdict_gap([verdict for pair in pairs for verdict in pair]) == pytest.approx(2 * found.value)


def test_ties_and_failures_are_no_verdict_for_a_position() -> None:
    assert verdict_gap(["A", "tie", None, "A", "B", "A"]) == 0.5
    assert verdict_gap(["tie", None]) is None


def test_a_model_that_goes_by_length_is_right_where_the_better_answer_is_longer() -> None:
    assert length_gap([1.0, 0.0, 0.5, 0.0], [3, -2, 0, -1]) == 1.0
    assert length_gap([1.0, 0.5], [3, 1]) is None
