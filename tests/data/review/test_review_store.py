"""The review's store as the app uses it: verdicts, skips, undo, conflicts; two people at once; being killed."""

import multiprocessing

import pytest
from sqlalchemy import func, select

from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Refused
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import connect, verdicts
from review_toys import (
    DOMAIN,
    TEN,
    accept,
    conflict_of,
    counts,
    die_after,
    draft,
    in_conflict,
    race,
    review_all,
    review_store,
    shown,
    undo,
)


def test_a_verdict_twice_counts_once_and_another_one_is_refused(tmp_path):
    store = review_store(tmp_path, TEN, Review())
    item = shown(store, "ada")
    for _ in range(2):
        store.give(item.id, "ada", Outcome.REJECT, reason="clash")
    with pytest.raises(Refused, match="undo that first"):
        store.give(item.id, "ada", Outcome.ACCEPT, reason="good")
    assert store.pace(DOMAIN, "ada").given == 1


def test_who_comes_second_to_a_single_draft_overwrites_nothing(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    item = shown(store, "ada")
    store.give(item.id, "ben", Outcome.REJECT, reason="clash")
    with pytest.raises(Refused, match="in the meantime"):
        store.give(item.id, "ada", Outcome.ACCEPT, reason="good")
    [decided] = [i for i in store.close(DOMAIN)[1] if i.id == item.id]
    assert [(v.reviewer, v.outcome) for v in decided.votes] == [("ben", "reject")]


def test_a_double_review_is_blind_and_a_conflict_is_settled(tmp_path):
    store = review_store(tmp_path, TEN[:1], Review(double=1))
    item = shown(store, "ada")
    store.give(item.id, "ada", Outcome.ACCEPT, reason="good")
    assert store.next_item(DOMAIN, "ada") is None, "ada is not asked twice"
    assert shown(store, "ben").votes == (), "ben does not see what ada said"
    assert store.conflict(DOMAIN) is None
    store.give(item.id, "ben", Outcome.EDIT, reason="slip", edited="Better.")
    assert store.progress(DOMAIN).missing == ("1 conflict to settle",)
    conflict = store.conflict(DOMAIN)
    assert conflict is not None
    assert [(v.reviewer, v.outcome, v.edited) for v in conflict.votes] == [
        ("ada", "accept", None),
        ("ben", "edit", "Better."),
    ]
    assert conflict.votes[1].diff is not None
    assert "+Better." in conflict.votes[1].diff
    store.add_reviewer("cyd", adjudicates=False)
    store.settle(item.id, "cyd", Outcome.ACCEPT, reason="good", version=conflict.version)
    assert counts(store) == (1, 1, 0)
    assert store.units(DOMAIN) == [{"ada": "accept", "ben": "edit"}], "an adjudicator is no rater"


def test_a_settled_conflict_stays_settled(tmp_path):
    store = in_conflict(tmp_path)
    conflict = store.conflict(DOMAIN)
    assert conflict is not None
    for _ in range(2):  # a form sent twice
        store.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    with pytest.raises(Refused, match="ada has settled"):
        store.settle(conflict.id, "ben", Outcome.REJECT, reason="clash", version=conflict.version)
    with pytest.raises(Refused, match="has been settled: it stands"):
        undo(store, "ben")
    with pytest.raises(Refused, match="in the meantime"):
        store.give(conflict.id, "cyd", Outcome.ACCEPT, reason="good")


def test_a_conflict_that_changed_has_to_be_looked_at_again(tmp_path):
    store = in_conflict(tmp_path)
    seen = conflict_of(store)
    undo(store, "ben")  # a slip, taken back before anybody told him of the conflict
    assert store.conflict(DOMAIN) is None
    store.give(seen.id, "ben", Outcome.EDIT, reason="slip", edited="Another.")
    with pytest.raises(Refused, match="changed since you saw it"):
        store.settle(seen.id, "ada", Outcome.ACCEPT, reason="good", version=seen.version)


def test_undo_brings_the_draft_back_and_keeps_the_row(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    assert store.last(DOMAIN, "ada") is None
    first = shown(store, "ada")
    store.give(first.id, "ada", Outcome.REJECT, reason="clash")
    shown(store, "ada")
    undo(store, "ada")
    assert shown(store, "ada").id == first.id
    store.give(first.id, "ada", Outcome.ACCEPT, reason="good")
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(verdicts)) == 2
        assert connection.scalar(select(func.count()).where(verdicts.c.undone.is_(None))) == 1


def test_a_closed_review_takes_no_more_verdicts(tmp_path):
    store = review_store(tmp_path, TEN[:2], Review(double=0))
    progress, _ = store.close(DOMAIN)
    assert not progress.closed
    item = shown(store, "ada")
    review_all(store, "ada", accept)
    last = store.last(DOMAIN, "ada")
    assert last is not None
    progress, decided = store.close(DOMAIN)
    assert progress.missing == ()
    assert {i.sample for i in decided} == {s.id for s in TEN[:2]}
    assert store.progress(DOMAIN).closed
    assert store.next_item(DOMAIN, "ada") is None
    for change in (
        lambda: store.undo(DOMAIN, "ada", last),
        lambda: store.skip(item.id, "ada"),
        lambda: store.give(item.id, "ben", Outcome.REJECT, reason="clash"),
    ):
        with pytest.raises(Refused, match="closed"):
            change()
    assert store.close(DOMAIN)[1] == decided, "the run may ask again"


def test_people_in_a_hurry_do_not_overwrite_each_other(tmp_path):
    race(review_store(tmp_path, [draft(i) for i in range(40)], Review(double=0.5)))


def test_kill_loses_no_verdict(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    url = store.engine.url.render_as_string()
    store.engine.dispose()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=die_after, args=(url, sender, 6))
    process.start()
    process.join()
    assert process.exitcode == -9
    answered = {receiver.recv() for _ in range(6)}
    kept = ReviewStore(connect(url), "toy").close(DOMAIN)[1]
    assert {item.id for item in kept} == answered


def test_an_undo_twice_undoes_once(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    for _ in range(3):
        store.give(shown(store, "ada").id, "ada", Outcome.ACCEPT, reason="good")
    last = store.last(DOMAIN, "ada")
    assert last is not None
    for _ in range(2):  # a form sent twice
        store.undo(DOMAIN, "ada", last)
    assert store.pace(DOMAIN, "ada").given == 2
    store.give(shown(store, "ada").id, "ada", Outcome.REJECT, reason="clash")
    before = store.last(DOMAIN, "ada")
    with pytest.raises(Refused, match="decided another draft since"):
        store.undo(DOMAIN, "ada", last - 1)
    assert store.last(DOMAIN, "ada") == before


def test_nobody_undoes_what_another_said(tmp_path):
    store = in_conflict(tmp_path)
    last = store.last(DOMAIN, "ada")
    assert last is not None
    with pytest.raises(Refused, match="another draft since"):
        store.undo(DOMAIN, "ben", last)
    store.undo(DOMAIN, "cyd", last)
    assert counts(store) == (1, 0, 1)


def test_who_was_told_of_a_conflict_stands_by_their_verdict(tmp_path):
    store = in_conflict(tmp_path)
    store.note_conflicts_seen(DOMAIN, "ben")
    store.note_conflicts_seen(DOMAIN, "ben")
    with pytest.raises(Refused, match="your verdict stands"):
        undo(store, "ben")
    store.note_conflicts_seen(DOMAIN, "cyd")  # who is not in it
    undo(store, "ada")
    assert counts(store) == (1, 0, 0)
    store.give(shown(store, "ada").id, "ada", Outcome.REJECT, reason="clash")
    assert counts(store) == (1, 1, 0), "and ada, who was told nothing, may mend a slip"


def test_being_told_that_there_is_no_conflict_leaves_undo_alone(tmp_path):
    store = review_store(tmp_path, TEN[:1], Review(double=1))
    for name in ("ada", "ben"):
        store.give(shown(store, name).id, name, Outcome.ACCEPT, reason="good")
        store.note_conflicts_seen(DOMAIN, name)
    undo(store, "ben")
    assert counts(store) == (1, 0, 0)


def test_a_settled_conflict_can_be_opened_again_by_who_settled_it(tmp_path):
    store = in_conflict(tmp_path)
    seen = conflict_of(store)
    store.settle(seen.id, "ada", Outcome.ACCEPT, reason="good", version=seen.version)
    undo(store, "ada", settles=True)
    assert counts(store) == (1, 0, 1)
    again = conflict_of(store)
    with pytest.raises(Refused, match="changed since you saw it"):
        store.settle(seen.id, "ben", Outcome.REJECT, reason="clash", version=seen.version)
    store.settle(seen.id, "ben", Outcome.REJECT, reason="clash", version=again.version)
    assert counts(store) == (1, 1, 0)
