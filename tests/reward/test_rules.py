"""The price of length, and who pays for a verifier's faults."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward import rules
from afterbase.reward.rules import Cosine, brevity, cosine_length, overlong_penalty, rule_rewards
from afterbase.verify.answer_context import AnswerContext


def contexts(*tokens: int) -> list[AnswerContext]:
    return [AnswerContext(n) for n in tokens]


lengths = st.integers(0, 500)
weights = st.floats(0, 1, exclude_max=True)


@given(lengths, lengths, weights)
@settings(deadline=None)
def test_right_stays_above_wrong_at_any_length(right_tokens, wrong_tokens, weight):
    right = brevity(1.0, tokens=right_tokens, budget=100, weight=weight)
    wrong = brevity(0.0, tokens=wrong_tokens, budget=100, weight=weight)
    assert right > wrong == 0.0


@given(lengths, lengths, weights)
@settings(deadline=None)
def test_of_two_right_answers_the_shorter_is_never_worse(a, b, weight):
    short, long = (brevity(1.0, tokens=n, budget=100, weight=weight) for n in sorted((a, b)))
    assert short >= long >= 1 - weight


def test_the_price_is_the_share_of_the_budget():
    assert brevity(1.0, tokens=50, budget=100, weight=0.2) == 0.9
    assert brevity(0.5, tokens=100, budget=100, weight=0.2) == 0.4
    assert brevity(1.0, tokens=10_000, budget=100, weight=0.2) == 0.8
    assert brevity(1.0, tokens=77, budget=100, weight=0.0) == 1.0


def maths(answer: str) -> Problem:
    return Problem(domain="toy", prompt="?", gold=None, verifier="maths", spec={"answer": answer})


def test_rewards_come_in_order_with_their_verdicts():
    answers = [
        (maths("3"), r"\boxed{3}"),
        (maths("3"), r"\boxed{4}"),
        (maths("5"), "no box"),
        (maths("5"), r"\boxed{5}"),
    ]
    judged = rule_rewards(answers, contexts(10, 20, 30, 40), budget=40, length_weight=0.4)
    assert [value for value, _ in judged] == [0.9, 0.0, 0.0, 0.6]
    assert [verdict.status for _, verdict in judged] == [Status.OK, Status.WRONG, Status.WRONG, Status.OK]


def test_the_verifiers_fault_is_no_zero(monkeypatch):
    statuses = [Status.FAILED, Status.WRONG]
    monkeypatch.setattr(
        rules,
        "check_many",
        lambda answers, _: [Verdict(verifier="maths", status=s, value=0.0, reason="r") for s in statuses],
    )
    judged = rule_rewards([(maths("1"), "a"), (maths("1"), "b")], contexts(1, 1), budget=2, length_weight=0.5)
    assert [value for value, _ in judged] == [None, 0.0]


@pytest.mark.parametrize(("tokens", "penalty"), [(1, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0)])
def test_dapos_penalty_falls_over_the_last_fifth_of_the_budget(tokens, penalty):
    assert overlong_penalty(tokens, budget=100, buffer=20.0) == penalty


def test_cosine_goes_from_one_end_to_the_other_and_breaks_off_at_the_budget():
    """Values of arXiv 2502.03373, table 6's defaults, at the ends and in the middle."""
    at = [cosine_length(n, budget=100, right=True, curve=Cosine()) for n in (0, 50, 99, 100, 500)]
    assert at == pytest.approx([2.0, 1.5, 1.0, -10.0, -10.0], abs=1e-3)
    wrong = [cosine_length(n, budget=100, right=False, curve=Cosine()) for n in (0, 50, 99, 100)]
    assert wrong == pytest.approx([-10.0, -5.0, 0.0, -10.0], abs=1e-2)


@given(st.integers(0, 99), st.integers(0, 99))
def test_cosine_pays_right_answers_for_being_short_and_wrong_ones_for_thinking_on(a, b):
    short, long = sorted((a, b))
    for right, sign in ((True, 1), (False, -1)):
        first, last = (cosine_length(n, budget=100, right=right, curve=Cosine()) for n in (short, long))
        assert sign * (first - last) >= 0
    assert cosine_length(long, budget=100, right=True, curve=Cosine()) > cosine_length(
        short, budget=100, right=False, curve=Cosine()
    )
