"""What forms may say, and what is made of it: the app over a real database."""

import re

import pytest
from starlette.exceptions import HTTPException

from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Item, Refused
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import LONGEST
from afterbase.data.review.web.review_forms import decision, number, settlement
from review_people import Person, pair, votes
from review_toys import DOMAIN, conflict_of, draft, in_conflict, review_store, shown


def item_of(folder, response: str) -> Item:
    return shown(review_store(folder, [draft(0, response=response)], Review(double=0)), "ada")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"outcome": "approve"}, 400),
        ({"outcome": "reject"}, 400),
        ({"outcome": "reject", "reason": "<script>"}, 400),
        ({"outcome": "edit", "edited": "x", "reason": "<script>"}, 400),
        ({"outcome": "edit", "edited": "  "}, 409),
        ({"outcome": "edit", "edited": "a" * (LONGEST + 1)}, 409),
        ({"outcome": "edit", "edited": "a" * 13 * LONGEST}, 413),
        (dict.fromkeys(map(str, range(40)), "x"), 400),
    ],
    ids=lambda v: str(v)[:40],
)
def test_forms_that_are_none(store, fields, status):
    ada = Person(store, "ada")
    assert ada.send(f"/chat/review/{ada.item()}", **fields).status_code == status
    assert votes(store) == []


def test_an_edit_that_changes_nothing_is_none(store):
    ada = Person(store, "ada")
    text = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", ada.client.get("/chat/review").text, re.DOTALL)[0]
    answer = ada.decide("edit", edited=text)
    assert answer.status_code == 409
    assert "changes nothing" in answer.text


def test_settling_what_is_no_conflict(store):
    ada = Person(store, "ada")
    item = ada.item()
    assert ada.send(f"/chat/conflicts/{item}", outcome="accept", version="0").status_code == 409
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben = Person(store, "ben")
    answers = [ben.send(f"/chat/conflicts/{item}", take=take, version="1") for take in ("0", "1", "9", "x")]
    assert {answer.status_code for answer in answers} == {409}, "nothing tells how many have decided"
    assert votes(store) == [("ada", "accept", "good", None)]


def test_an_accepted_conflict_form_needs_a_take_that_is_there(store):
    ada, ben = pair(store)
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="reject", reason="clash")
    version = str(conflict_of(store).version)
    for fields in ({"take": "2"}, {"take": "x"}, {"take": "-1"}, {}, {"outcome": "reject"}):
        assert ada.send(f"/chat/conflicts/{item}", version=version, **fields).status_code == 400
    for version in ("", "x", "9" * 12):
        assert ada.send(f"/chat/conflicts/{item}", take="0", version=version).status_code == 400
    assert store.progress(DOMAIN).conflicts == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outcome": "accept"}, (Outcome.ACCEPT, "good", None)),
        ({"outcome": "accept", "reason": "clash", "edited": "x"}, (Outcome.ACCEPT, "good", None)),
        ({"outcome": "reject", "reason": "clash", "edited": "x"}, (Outcome.REJECT, "clash", None)),
        ({"outcome": "edit", "edited": "x"}, (Outcome.EDIT, "edited", "x")),
        ({"outcome": "edit", "edited": "x\r\ny\rz", "reason": "slip"}, (Outcome.EDIT, "slip", "x\ny\nz")),
        ({"outcome": "edit", "edited": "\n x "}, (Outcome.EDIT, "edited", "\n x ")),
    ],
)
def test_what_a_form_says(tmp_path, fields, expected):
    assert decision(fields, Review(), item_of(tmp_path, "Draft.")) == expected


@pytest.mark.parametrize("draft_text", ["a\nb", "a\r\nb", "a\rb"])
def test_line_ends_alone_are_no_edit(tmp_path, draft_text):
    with pytest.raises(Refused, match="changes nothing"):
        decision({"outcome": "edit", "edited": "a\r\nb"}, Review(), item_of(tmp_path, draft_text))


def test_reasons_are_those_of_the_recipe(tmp_path):
    item, policy = item_of(tmp_path, "Draft."), Review(reasons=("dull",))
    assert decision({"outcome": "reject", "reason": "dull"}, policy, item)[1] == "dull"
    for outcome in ("reject", "edit"):
        with pytest.raises(HTTPException, match="one of the reasons"):
            decision({"outcome": outcome, "reason": "clash", "edited": "x"}, policy, item)


def test_a_vote_is_taken_whole(tmp_path):
    store = in_conflict(tmp_path)
    item = conflict_of(store)
    assert settlement({"take": "1"}, Review(), item) == (Outcome.REJECT, "good", None)
    assert settlement({"outcome": "edit", "edited": "x"}, Review(), item) == (Outcome.EDIT, "edited", "x")
    store.settle(item.id, "ada", Outcome.ACCEPT, reason="good", version=item.version)
    with pytest.raises(HTTPException, match="no such verdict"):
        settlement({"take": "2"}, Review(), store.item(DOMAIN, item.id))


@pytest.mark.parametrize("value", ["", "-1", "1.0", "\u0662", "9" * 10, " 1", "1e3"])
def test_what_is_no_number(value):
    with pytest.raises(HTTPException, match="is a number"):
        number({"n": value}, "n")
    assert number({"n": "007"}, "n") == 7
