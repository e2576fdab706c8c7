"""The two tables, on rows small enough to count by hand."""

import random
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.intervals import wilson
from afterbase.eval.summarise import Pair, Row, compare, summarise


def row(problem: str, right: bool, sample: int = 0, **changes: Any) -> Row:
    base: dict[str, Any] = {
        "checkpoint": "base",
        "domain": "arithmetic",
        "decoding": "greedy",
        "system_prompt": False,
        "problem_id": problem,
        "sample_index": sample,
        "status": "ok" if right else "wrong",
        "value": float(right),
        "answer": "4" if right else "5",
        "tokens": 10 if right else 30,
        "truncated": not right,
        "well_formed": True,
    }
    return Row(**{**base, **changes})


def test_greedy() -> None:
    (entry,) = summarise([row("p", True), row("q", False), row("r", True), row("s", True)])
    assert (entry["n"], entry["failed"], entry["pass1"], entry["maj8"]) == (4, 0, 0.75, None)
    assert (entry["pass1_low"], entry["pass1_high"]) == wilson(3, 4)
    assert (entry["mean_tokens"], entry["median_tokens"]) == (15, 10)
    assert (entry["mean_tokens_right"], entry["mean_tokens_wrong"]) == (10, 30)
    assert (entry["truncated_share"], entry["format_share"]) == (0.25, 1.0)


def sampled(problem: str, right: int, of: int, **changes: Any) -> list[Row]:
    return [row(problem, i < right, i, decoding="sampled", **changes) for i in range(of)]


def test_sampled_weighs_problems_equally_and_votes() -> None:
    (entry,) = summarise(sampled("p", 5, 8) + sampled("q", 4, 8) + sampled("r", 0, 16))
    assert entry["pass1"] == pytest.approx(0.375)  # (5/8 + 4/8 + 0) / 3
    assert entry["maj8"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert entry["pass1_low"] is not None
    assert entry["pass1_high"] is not None
    assert entry["pass1_low"] < 0.375 < entry["pass1_high"]


def test_all_wrong_still_has_an_interval() -> None:
    (entry,) = summarise(sampled("p", 0, 8) + sampled("q", 0, 8))
    assert (entry["pass1_low"], entry["pass1_high"]) == wilson(0, 2)


def test_a_failed_verdict_is_counted_and_never_a_zero() -> None:
    rows = [*sampled("p", 8, 8), *sampled("q", 8, 8)]
    rows[1] = Row(**{**rows[1], "status": "failed", "value": 0.0, "answer": "4", "tokens": 999})
    (entry,) = summarise(rows)
    assert (entry["n"], entry["failed"], entry["pass1"], entry["maj8"], entry["mean_tokens"]) == (2, 1, 1.0, 1.0, 10)


def test_nothing_but_failures_gives_no_numbers() -> None:
    (entry,) = summarise([row("p", False, status="failed")])
    assert (entry["n"], entry["failed"], entry["pass1"], entry["mean_tokens"]) == (0, 1, None, None)


def test_no_vote_below_eight_samples_or_where_answers_are_never_extracted() -> None:
    few = summarise(sampled("p", 3, 4))
    chat = summarise(sampled("p", 3, 8, domain="chat", answer=None))
    assert [entry["maj8"] for entry in few + chat] == [None, None]


def test_a_checkpoint_that_never_answers_scores_zero_where_others_do() -> None:
    mute, able = summarise(sampled("p", 0, 8, answer=None) + sampled("p", 8, 8, checkpoint="final"))
    assert (mute["maj8"], able["maj8"]) == (0.0, 1.0)


def test_settings_keep_their_order_and_rows_need_not() -> None:
    rows = [r for name in ("base", "sft", "final") for p in "pqrs" for r in sampled(p, ord(p) % 5, 8, checkpoint=name)]
    entries = summarise(rows)
    assert [entry["checkpoint"] for entry in entries] == ["base", "sft", "final"]
    shuffled = rows[:]
    random.Random(0).shuffle(shuffled)
    assert sorted(summarise(shuffled), key=lambda e: e["checkpoint"]) == sorted(entries, key=lambda e: e["checkpoint"])


def test_compare_is_b_minus_a_on_shared_problems() -> None:
    rows = [row("p", False), row("q", False), row("r", True), row("only base", True), row("broken", True)]
    rows += [row(p, True, checkpoint="final", system_prompt=True) for p in ("p", "q", "r")]
    rows += [row("broken", False, checkpoint="final", system_prompt=True, status="failed")]
    (entry,) = compare(rows, [Pair("base", "final", "arithmetic", "greedy", False, True)])
    assert (entry["n"], entry["domain"]) == (3, "arithmetic")
    assert entry["difference"] == pytest.approx(2 / 3)
    assert entry["low"] <= entry["difference"] <= entry["high"]


def test_pooled_over_domains() -> None:
    rows = [row(p, False, domain=d) for p, d in (("p", "code"), ("q", "logic"))]
    rows += [row(p, p == "p", domain=d, checkpoint="final") for p, d in (("p", "code"), ("q", "logic"))]
    (entry,) = compare(rows, [Pair("base", "final", None, "greedy", False, False)])
    assert (entry["domain"], entry["n"], entry["difference"]) == ("all", 2, 0.5)


def test_nothing_shared_is_refused() -> None:
    with pytest.raises(UserError, match="share none"):
        compare([row("p", True)], [Pair("base", "final", None, "greedy", False, False)])
