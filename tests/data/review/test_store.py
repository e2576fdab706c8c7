import multiprocessing

import pytest
from sqlalchemy import func, select

from afterbase.data.review.decisions import Outcome
from afterbase.data.review.policy import Review
from afterbase.data.review.queue import queue
from afterbase.data.review.records import Refused
from afterbase.data.review.store import ReviewStore
from afterbase.data.review.tables import connect, verdicts
from review_toys import DOMAIN, SECRET_VERIFIER, Clock, accept, die_after, draft, race, review_all, review_store

TEN = [draft(i) for i in range(10)]


def shown(store: ReviewStore, reviewer: str):
    item = store.next_item(DOMAIN, reviewer)
    assert item is not None
    return item


def standing_of(store: ReviewStore) -> tuple[int, int, int]:
    found = store.standing(DOMAIN)
    return found.reviewed, found.decided, found.conflicts


def test_a_review_from_the_first_draft_to_the_last(tmp_path):
    store = review_store(tmp_path, TEN, Review(share=0.8, double=0))
    assert standing_of(store) == (8, 0, 0)
    assert store.standing(DOMAIN).missing == ("8 drafts to review",)
    assert review_all(store, "ada", accept) == 8
    assert standing_of(store) == (8, 8, 0)
    assert store.standing(DOMAIN).missing == ()


def test_the_same_draft_is_shown_until_it_is_decided(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    first = shown(store, "ada")
    assert shown(store, "ada") == first
    store.give(first.id, "ada", Outcome.ACCEPT, reason="good")
    assert shown(store, "ada").id != first.id


def test_two_people_are_not_shown_the_same_single_draft(tmp_path):
    clock = Clock()
    store = review_store(tmp_path, TEN[:2], Review(double=0), clock=clock)
    first, second = shown(store, "ada"), shown(store, "ben")
    assert first.id != second.id
    assert store.next_item(DOMAIN, "cyd") is None
    clock.now += 31 * 60  # ada and ben have left
    assert shown(store, "cyd").id in (first.id, second.id)


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
    assert store.standing(DOMAIN).missing == ("1 conflict to settle",)
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
    assert standing_of(store) == (1, 1, 0)
    assert store.units(DOMAIN) == [{"ada": "accept", "ben": "edit"}], "an adjudicator is no rater"


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (("accept", "good", None), ("accept", "good", None), False),
        (("reject", "clash", None), ("reject", "slip", None), False),
        (("edit", "slip", "A."), ("edit", "clash", "A."), False),
        (("edit", "slip", "A."), ("edit", "slip", "B."), True),
        (("accept", "good", None), ("reject", "slip", None), True),
    ],
)
def test_what_counts_as_a_conflict(tmp_path, first, second, conflict):
    store = review_store(tmp_path, TEN[:1], Review(double=1))
    for name, (outcome, reason, edited) in {"ada": first, "ben": second}.items():
        store.give(shown(store, name).id, name, Outcome(outcome), reason=reason, edited=edited)
    assert (store.conflict(DOMAIN) is not None) == conflict


def in_conflict(tmp_path, **policy) -> ReviewStore:
    store = review_store(tmp_path, TEN[:1], Review(double=1, **policy))
    for name, outcome in {"ada": Outcome.ACCEPT, "ben": Outcome.REJECT}.items():
        store.add_reviewer(name, adjudicates=False)
        store.give(shown(store, name).id, name, outcome, reason="good")
    return store


def test_a_settled_conflict_stays_settled(tmp_path):
    store = in_conflict(tmp_path)
    conflict = store.conflict(DOMAIN)
    assert conflict is not None
    for _ in range(2):  # a form sent twice
        store.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    with pytest.raises(Refused, match="ada has settled"):
        store.settle(conflict.id, "ben", Outcome.REJECT, reason="clash", version=conflict.version)
    with pytest.raises(Refused, match="has been settled: it stands"):
        store.undo(DOMAIN, "ben")
    with pytest.raises(Refused, match="in the meantime"):
        store.give(conflict.id, "cyd", Outcome.ACCEPT, reason="good")


def test_a_conflict_that_changed_has_to_be_looked_at_again(tmp_path):
    store = in_conflict(tmp_path)
    seen = store.conflict(DOMAIN)
    assert seen is not None
    store.undo(DOMAIN, "ben")
    assert store.conflict(DOMAIN) is None
    store.give(seen.id, "ben", Outcome.EDIT, reason="slip", edited="Another.")
    with pytest.raises(Refused, match="changed since you saw it"):
        store.settle(seen.id, "ada", Outcome.ACCEPT, reason="good", version=seen.version)


def test_adjudicators_alone_settle_where_there_are_any(tmp_path):
    store = in_conflict(tmp_path)
    assert store.reviewers() == {"ada": True, "ben": True}
    store.add_reviewer("cyd", adjudicates=True)
    assert store.reviewers() == {"ada": False, "ben": False, "cyd": True}
    conflict = store.conflict(DOMAIN)
    assert conflict is not None
    with pytest.raises(Refused, match="by its adjudicators"):
        store.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    store.settle(conflict.id, "cyd", Outcome.ACCEPT, reason="good", version=conflict.version)
    with pytest.raises(Refused, match="no verdict of yours"):
        store.undo(DOMAIN, "cyd")
    store.undo(DOMAIN, "cyd", settles=True)
    assert standing_of(store) == (1, 0, 1)


def test_undo_brings_the_draft_back_and_keeps_the_row(tmp_path):
    store = review_store(tmp_path, TEN, Review(double=0))
    with pytest.raises(Refused, match="no verdict of yours"):
        store.undo(DOMAIN, "ada")
    first = shown(store, "ada")
    store.give(first.id, "ada", Outcome.REJECT, reason="clash")
    shown(store, "ada")
    store.undo(DOMAIN, "ada")
    assert shown(store, "ada").id == first.id
    store.give(first.id, "ada", Outcome.ACCEPT, reason="good")
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(verdicts)) == 2
        assert connection.scalar(select(func.count()).where(verdicts.c.undone.is_(None))) == 1


def test_a_skipped_draft_comes_last_and_goes_to_others(tmp_path):
    store = review_store(tmp_path, TEN[:3], Review(double=0))
    first = shown(store, "ada")
    store.skip(first.id, "ada")
    assert shown(store, "ben").id == first.id
    store.skip(first.id, "ben")
    order = []
    while (item := store.next_item(DOMAIN, "ada")) is not None:
        order.append(item.id)
        store.give(item.id, "ada", Outcome.ACCEPT, reason="good")
    assert order[-1] == first.id
    assert len(order) == 3


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


def test_a_closed_review_takes_no_more_verdicts(tmp_path):
    store = review_store(tmp_path, TEN[:2], Review(double=0))
    standing, _ = store.close(DOMAIN)
    assert not standing.closed
    item = shown(store, "ada")
    review_all(store, "ada", accept)
    standing, decided = store.close(DOMAIN)
    assert standing.missing == ()
    assert {i.sample for i in decided} == {s.id for s in TEN[:2]}
    assert store.standing(DOMAIN).closed
    assert store.next_item(DOMAIN, "ada") is None
    for change in (
        lambda: store.undo(DOMAIN, "ada"),
        lambda: store.skip(item.id, "ada"),
        lambda: store.give(item.id, "ben", Outcome.REJECT, reason="clash"),
    ):
        with pytest.raises(Refused, match="closed"):
            change()
    assert store.close(DOMAIN)[1] == decided, "the run may ask again"


def test_enrolling_again_keeps_verdicts(tmp_path):
    store = review_store(tmp_path, TEN, Review(share=0.5, double=0))
    review_all(store, "ada", accept)
    store.close(DOMAIN)

    def again(policy: Review) -> None:
        store.enrol(DOMAIN, queue(TEN, policy), policy, drafts=10, guideline="new")

    again(Review(share=0.5, double=0))
    assert store.standing(DOMAIN).closed, "the same queue stays closed"
    assert store.guideline(DOMAIN) == "new"
    again(Review(share=1.0, double=0))
    assert standing_of(store) == (10, 5, 0)
    assert not store.standing(DOMAIN).closed
    again(Review(share=1.0, double=1))
    assert standing_of(store) == (10, 0, 0)
    assert review_all(store, "ben", accept) == 10
    assert standing_of(store) == (10, 5, 0)
    again(Review(share=0.1, double=0))
    assert standing_of(store) == (1, 1, 0)


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


@pytest.mark.parametrize("text", ["nul \0", "\u202e\x1b[31m", "', DROP TABLE items; --", "🙂 你好"])
def test_texts_come_back_as_they_were(tmp_path, text):
    store = review_store(tmp_path, [draft(0, response=f"{text}!")], Review(double=0))
    item = shown(store, "ada")
    assert item.messages[-1]["content"] == f"{text}!"
    store.give(item.id, "ada", Outcome.EDIT, reason="slip", edited=f"{text}?")
    assert store.close(DOMAIN)[1][0].votes[0].edited == f"{text}?"


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
