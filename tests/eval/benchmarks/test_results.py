"""Numbers from judged answers, and the file that keeps them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.intervals import wilson
from afterbase.eval.benchmarks.results import Evaluated, Judged, Row, interval, read, summarise, write
from afterbase.eval.tasks.mathematics import gsm8k
from afterbase.eval.tasks.task import Item, Mark

TASK = gsm8k.TASK


def _judged(item: str, value: float, *, run: int = 0, failed: bool = False, answer: str | None = "1", **row):
    mark = Mark(value, answer, "match" if value else "mismatch", failed)
    whole = Row(
        id=item, digest="d", run=run, value=value, answer=answer, reason=mark.reason, failed=failed,
        tokens=row.get("tokens", 10), truncated=row.get("truncated", False), too_long=False, text="",
    )  # fmt: skip
    return Judged(item=Item(id=item, prompt="?", question="?", gold="1"), mark=mark, row=whole)


def test_one_answer_a_question_has_wilsons_interval():
    judged = [_judged(str(i), float(i < 3), tokens=i, truncated=i == 0) for i in range(10)]
    result, more = summarise(TASK, judged)
    assert (result.value, result.n, result.mean_tokens, result.truncated_share) == (30, 10, 4.5, 0.1)
    assert (result.low, result.high) == pytest.approx([100 * x for x in wilson(3, 10)], abs=1e-4)
    assert more == {"runs": 1, "failed": 0, "too_long": 0, "no_answer": 0}


def test_an_answer_that_could_not_be_judged_is_counted_and_in_no_score():
    result, more = summarise(TASK, [_judged("a", 1.0), _judged("b", 0.0, failed=True)])
    assert (result.value, result.n, more["failed"]) == (100, 1, 1)


def test_the_interval_holds_whatever_the_unjudged_are_worth():
    judged = [_judged(str(i), 1.0) for i in range(4)] + [_judged(str(i), 0.0, failed=True) for i in range(4, 10)]
    result, _ = summarise(TASK, judged)
    assert (result.value, result.n) == (100, 4)
    assert result.low == pytest.approx(100 * wilson(4, 10).low, abs=1e-4)
    assert result.high == 100


def test_nothing_judged_is_no_number():
    with pytest.raises(UserError, match="none of 1"):
        summarise(TASK, [_judged("a", 0.0, failed=True)])


def test_repeated_runs_give_pass_and_majority():
    values = {"a": [1, 1, 1, 0], "b": [0, 0, 0, 1], "c": [0, 0, 0, 0]}
    judged = [
        _judged(item, float(v), run=run, answer=str(v) if item != "c" else None)
        for item, marks in values.items()
        for run, v in enumerate(marks)
    ]
    result, more = summarise(TASK, judged)
    assert (result.value, result.n, more["runs"]) == (pytest.approx(100 / 3, abs=1e-3), 3, 4)
    assert {k: round(v["value"], 2) for k, v in more["pass_at"].items()} == {1: 33.33, 2: 50.0, 4: 66.67}
    assert {k: round(v["value"], 2) for k, v in more["maj_at"].items()} == {1: 33.33, 2: 33.33, 4: 33.33}
    assert more["cons"] == more["maj_at"][4]
    assert result.low < result.value < result.high


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=2), min_size=2, max_size=30))
def test_an_interval_holds_its_share_and_is_no_narrower_than_independent_answers_would_give(values):
    low, high = interval(values)
    flat = [v for cluster in values for v in cluster]
    share = sum(flat) / len(flat)
    assert 0 <= low <= share <= high <= 1
    free = wilson(sum(flat), len(flat))
    assert high - low >= free.high - free.low - 1e-12


def test_partial_credits_are_resampled():
    low, high = interval([[0.2], [0.4], [0.9]])
    assert 0.2 <= low < 0.5 < high <= 0.9


def test_a_clusters_own_rule_makes_its_value():
    task = dataclasses.replace(TASK, collect=lambda name, marks: float(all(mark.value for _, mark in marks)))
    judged = [
        Judged(item=dataclasses.replace(j.item, cluster=c), mark=j.mark, row=j.row)
        for j, c in ((_judged("a", 1.0), "x"), (_judged("b", 0.0), "x"), (_judged("c", 1.0), "y"))
    ]
    result, _ = summarise(task, judged)
    assert (result.value, result.n) == (50, 2)


def test_what_is_written_is_read(tmp_path):
    judged = [_judged("a", 1.0)]
    result, more = summarise(TASK, judged)
    evaluated = Evaluated(
        task="gsm8k", model="m", digest=None, licence="MIT", settings={}, result=result, more=more,
        rows=[j.row for j in judged],
    )  # fmt: skip
    write(tmp_path, "gsm8k", evaluated)
    assert read(tmp_path) == {"gsm8k": evaluated}


def test_other_files_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no result in"):
        read(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match=r"x\.json"):
        read(tmp_path)
