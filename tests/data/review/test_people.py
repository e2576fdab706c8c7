from dataclasses import replace

import pytest

from afterbase.core.errors import UserError
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Refused
from review_toys import DOMAIN, conflict_of, counts, in_conflict, undo


def test_adjudicators_alone_settle_where_there_are_any(tmp_path):
    store = in_conflict(tmp_path)
    assert store.reviewers() == {"ada": True, "ben": True}
    store.add_reviewer("cyd", adjudicates=True)
    assert store.reviewers() == {"ada": False, "ben": False, "cyd": True}
    conflict = conflict_of(store)
    with pytest.raises(Refused, match="by its adjudicators"):
        store.settle(conflict.id, "ada", Outcome.ACCEPT, reason="good", version=conflict.version)
    store.settle(conflict.id, "cyd", Outcome.ACCEPT, reason="good", version=conflict.version)
    assert store.last(DOMAIN, "cyd") is None, "as a reviewer"
    undo(store, "cyd", settles=True)
    assert counts(store) == (1, 0, 1)


def test_what_a_person_may_do_can_change(tmp_path):
    store = in_conflict(tmp_path)
    store.add_reviewer("cyd", adjudicates=True)
    store.add_reviewer("cyd", adjudicates=False)
    assert store.reviewers() == {"ada": True, "ben": True, "cyd": True}


def test_withdrawals_are_each_persons_and_each_runs_own(tmp_path):
    store = in_conflict(tmp_path)
    assert store.withdrawals() == {"ada": 0, "ben": 0}
    store.withdraw("ada")
    store.withdraw("ada")
    assert store.withdrawals() == {"ada": 2, "ben": 0}
    other = replace(store, run="other")
    other.add_reviewer("ada", adjudicates=False)
    assert other.withdrawals() == {"ada": 0}
    with pytest.raises(UserError, match="somebody who reviews this run") as raised:
        store.withdraw("cyd")
    assert "ada, ben" in raised.value.remedy
