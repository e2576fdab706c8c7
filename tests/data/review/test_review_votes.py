import pytest

from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_policy import Review
from review_toys import DOMAIN, TEN, conflict_of, in_conflict, review_store, shown, undo


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


def test_undone_verdicts_and_those_of_adjudicators_are_no_ratings(tmp_path):
    store = in_conflict(tmp_path)
    seen = conflict_of(store)
    store.settle(seen.id, "ada", Outcome.REJECT, reason="clash", version=seen.version)
    assert store.units(DOMAIN) == [{"ada": "accept", "ben": "reject"}]
    undo(store, "ada", settles=True)
    undo(store, "ben")
    assert store.units(DOMAIN) == [{"ada": "accept"}]


def test_an_edit_is_kept_with_what_it_changed(tmp_path):
    store = review_store(tmp_path, TEN[:1], Review(double=0))
    item = shown(store, "ada")
    store.give(item.id, "ada", Outcome.EDIT, reason="slip", edited="Answer, mended.")
    [vote] = store.item(DOMAIN, item.id).votes
    assert vote.diff is not None
    assert "-Answer 0." in vote.diff
    assert "+Answer, mended." in vote.diff


def test_every_change_makes_another_version(tmp_path):
    store = review_store(tmp_path, TEN[:1], Review(double=1))
    item = shown(store, "ada")
    versions = [item.version]
    for change in (
        lambda: store.give(item.id, "ada", Outcome.ACCEPT, reason="good"),
        lambda: undo(store, "ada"),
        lambda: store.give(item.id, "ada", Outcome.ACCEPT, reason="good"),
    ):
        change()
        versions.append(store.item(DOMAIN, item.id).version)
    assert len(set(versions)) == 4
