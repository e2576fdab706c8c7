from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import queue
from review_toys import DOMAIN, TEN, Clock, conflict_of, in_conflict, review_store, shown


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


def test_deciding_another_draft_leaves_what_is_on_the_screen(tmp_path):
    clock = Clock()
    store = review_store(tmp_path, TEN, Review(double=0), clock=clock)
    first = shown(store, "ben")
    on_screen = shown(store, "ada")
    clock.now += 20
    store.give(first.id, "ada", Outcome.ACCEPT, reason="good")  # from a tab that was left open
    assert store.pace(DOMAIN, "ada").seconds == 0, "nobody knows how long"
    assert shown(store, "ben").id != on_screen.id, "it is still hers"
    store.skip(first.id + 5, "ada")
    clock.now += 10
    store.give(on_screen.id, "ada", Outcome.ACCEPT, reason="good")
    assert store.pace(DOMAIN, "ada").seconds == 30


def test_settling_a_conflict_leaves_what_is_on_the_screen(tmp_path):
    store = in_conflict(tmp_path)
    store.replace_queue(DOMAIN, queue(TEN, Review(double=1)), Review(double=1), drafts=10, guideline="x")
    on_screen, conflict = shown(store, "ada"), conflict_of(store)
    store.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    for name in ("ben", "cyd"):
        item = shown(store, name)
        assert (item.id == on_screen.id) == (name == "ben"), "two people at most have it"
