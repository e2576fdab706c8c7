import dataclasses

import pytest

from afterbase.core.sample import conversation
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Vote, said
from afterbase.data.review.review_policy import Review
from review_toys import DOMAIN, TEN, Clock, draft, review_store, shown


@pytest.mark.parametrize("text", ["nul \0", "\u202e\x1b[31m", "', DROP TABLE items; --", "🙂 你好"])
def test_texts_come_back_as_they_were(tmp_path, text):
    store = review_store(tmp_path, [draft(0, response=f"{text}!")], Review(double=0))
    item = shown(store, "ada")
    assert item.messages[-1]["content"] == f"{text}!"
    store.give(item.id, "ada", Outcome.EDIT, reason="slip", edited=f"{text}?")
    assert store.close(DOMAIN)[1][0].votes[0].edited == f"{text}?"


def test_a_vote_comes_out_of_the_database_as_it_was_given(tmp_path):
    clock = Clock()
    store = review_store(tmp_path, TEN[:1], Review(double=0), clock=clock)
    item = shown(store, "ada")
    clock.now += 12
    store.give(item.id, "ada", Outcome.REJECT, reason="clash")
    assert store.item(DOMAIN, item.id).votes == (
        Vote(
            reviewer="ada", outcome=Outcome.REJECT, reason="clash", edited=None, diff=None, settles=False,
            seconds=12.0, given=clock.now,
        ),
    )  # fmt: skip


def test_an_item_is_the_whole_conversation_and_nothing_else(tmp_path):
    messages = [{"role": "system", "content": "Be brief."}, *conversation("Who?", "I."), *conversation("You?", "Yes.")]
    sample = dataclasses.replace(draft(0, value=0.4), messages=messages)
    item = shown(review_store(tmp_path, [sample], Review(double=0)), "ada")
    assert (item.sample, item.messages, item.state, item.votes) == (sample.id, messages, "open", ())


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ((Outcome.ACCEPT, "good", None), (Outcome.ACCEPT, "good", None), True),
        ((Outcome.REJECT, "clash", None), (Outcome.REJECT, "slip", None), True),
        ((Outcome.EDIT, "slip", "A"), (Outcome.EDIT, "slip", "B"), False),
        ((Outcome.ACCEPT, "good", None), (Outcome.EDIT, "slip", "A"), False),
    ],
)
def test_agreement_is_of_outcome_and_text(first, second, agree):
    votes = [
        Vote(reviewer=name, outcome=outcome, reason=reason, edited=edited, diff=None, settles=False, seconds=0, given=0)
        for name, (outcome, reason, edited) in {"ada": first, "ben": second}.items()
    ]
    assert (said(votes[0]) == said(votes[1])) == agree
