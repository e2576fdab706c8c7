import pytest

from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Refused
from afterbase.data.review.review_policy import Review
from review_toys import DOMAIN, TEN, Clock, accept, conflict_of, counts, in_conflict, review_all, review_store, shown


def test_a_review_from_the_first_draft_to_the_last(tmp_path):
    store = review_store(tmp_path, TEN, Review(share=0.8, double=0))
    assert counts(store) == (8, 0, 0)
    assert store.progress(DOMAIN).missing == ("8 drafts to review",)
    assert review_all(store, "ada", accept) == 8
    assert counts(store) == (8, 8, 0)
    assert store.progress(DOMAIN).missing == ()


def test_pace_is_the_median_time_on_a_draft(tmp_path):
    clock = Clock()
    store = review_store(tmp_path, TEN, Review(double=0), clock=clock)
    assert store.pace(DOMAIN, "ada").seconds is None
    for seconds in (10, 30, 7200):  # a long lunch counts as fifteen minutes
        item = shown(store, "ada")
        clock.now += seconds
        store.give(item.id, "ada", Outcome.ACCEPT, reason="good")
    pace = store.pace(DOMAIN, "ada")
    assert (pace.given, pace.left, pace.seconds) == (3, 7, 30)


def test_what_others_hold_or_decided_is_not_left_for_a_person(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    shown(store, "ben")
    assert store.pace(DOMAIN, "ada").left == 9
    store.give(shown(store, "ben").id, "ben", Outcome.ACCEPT, reason="good")
    shown(store, "ada")
    pace = store.pace(DOMAIN, "ada")
    assert (pace.given, pace.left) == (0, 9), "what is on her own screen is left for her"


def test_settling_counts_into_nobody_s_pace(tmp_path):
    store = in_conflict(tmp_path)
    conflict = conflict_of(store)
    before = store.pace(DOMAIN, "ada")
    store.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    assert store.pace(DOMAIN, "ada") == before
    assert counts(store) == (1, 1, 0)


def test_a_domain_that_is_not_under_review_is_told(tmp_path):
    store = review_store(tmp_path, TEN, Review())
    for ask in (store.progress, store.guideline):
        with pytest.raises(Refused, match="no such domain"):
            ask("nowhere")
