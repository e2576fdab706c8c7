import threading

import pytest

from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Refused
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import queue
from afterbase.data.review.review_store import ReviewStore
from review_toys import DOMAIN, SECRET_VERIFIER, TEN, accept, counts, draft, review_all, review_store, shown, undo


def test_replacing_a_queue_keeps_verdicts(tmp_path):
    store = review_store(tmp_path, TEN, Review(share=0.5, double=0))
    review_all(store, "ada", accept)
    store.close(DOMAIN)

    def again(policy: Review) -> None:
        store.replace_queue(DOMAIN, queue(TEN, policy), policy, drafts=10, guideline="new")

    again(Review(share=0.5, double=0))
    assert store.progress(DOMAIN).closed, "the same queue stays closed"
    assert store.guideline(DOMAIN) == "new"
    again(Review(share=1.0, double=0))
    assert counts(store) == (10, 5, 0)
    assert not store.progress(DOMAIN).closed
    again(Review(share=1.0, double=1))
    assert counts(store) == (10, 0, 0)
    assert review_all(store, "ben", accept) == 10
    assert counts(store) == (10, 5, 0)
    again(Review(share=0.1, double=0))
    assert counts(store) == (1, 1, 0)


def test_runs_in_one_database_do_not_see_each_other(tmp_path):
    store = review_store(tmp_path, TEN, Review())
    other = ReviewStore(store.engine, "other")
    assert other.domains() == {}
    assert other.reviewers() == {}
    with pytest.raises(Refused, match="no such domain"):
        other.next_item(DOMAIN, "ada")
    with pytest.raises(Refused, match="no such draft"):
        other.give(shown(store, "ada").id, "ada", Outcome.ACCEPT, reason="good")


def test_nothing_that_a_model_said_is_in_the_database(tmp_path):
    store = review_store(tmp_path, [draft(i, value=0.4) for i in range(5)], Review(order="uncertain"))
    review_all(store, "ada", accept)
    store.engine.dispose()
    assert all(SECRET_VERIFIER.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_what_left_the_queue_is_neither_counted_nor_undone(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    review_all(store, "ada", accept)
    policy = Review(share=0.3, double=0)
    store.replace_queue(DOMAIN, queue(TEN, policy), policy, drafts=10, guideline="new")
    pace = store.pace(DOMAIN, "ada")
    assert (pace.given, pace.left) == (3, 0)
    for _ in range(3):
        undo(store, "ada")
    assert store.last(DOMAIN, "ada") is None
    assert counts(store) == (3, 0, 0)
    store.replace_queue(DOMAIN, queue(TEN, Review(double=0)), Review(double=0), drafts=10, guideline="new")
    assert counts(store) == (10, 7, 0), "the others come back as they were decided"


def test_two_replacements_at_once_leave_one_queue(tmp_path):
    store = review_store(tmp_path, TEN, Review())
    places = queue(TEN, Review())
    threads = [
        threading.Thread(
            target=store.replace_queue, args=("other", places, Review()), kwargs={"drafts": 10, "guideline": "x"}
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.progress("other").reviewed == 10
