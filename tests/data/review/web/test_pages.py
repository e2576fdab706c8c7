"""What the pages show, as the app sends them, and what they keep from whom."""

import re

import pytest

from afterbase.data.review.review_policy import Review
from review_people import Person, pair
from review_toys import DOMAIN, SECRET_VERIFIER, Clock, draft, review_store


def test_the_model_s_word_is_on_no_page(store):
    ada, ben = pair(store)
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="reject", reason="clash")
    for page in ("/", "/chat/review", "/chat/conflicts", "/chat/guideline", "/agreement"):
        text = ada.client.get(page).text
        assert SECRET_VERIFIER not in text
        assert "so it said" not in text


def test_the_second_reviewer_sees_nothing_of_the_first(store):
    ada, ben = pair(store)
    item = ben.item()
    before = ben.client.get("/chat/review").text
    ada.send(f"/chat/review/{item}", outcome="reject", reason="unsafe")
    after = ben.client.get("/chat/review").text
    assert before == after


def test_agreement_waits_until_it_tells_nothing(store):
    ada, ben = pair(store)
    for person in (ada, ben):
        for _ in range(9):
            person.decide("accept")
    assert "shown from 10 on" in ada.client.get("/agreement").text
    ada.decide("reject", reason="clash")
    ben.decide("accept")
    page = ada.client.get("/agreement").text
    assert "Krippendorff" in page
    assert "ada and ben" in page


def test_guideline_is_rendered_and_the_end_says_what_is_next(tmp_path):
    store = review_store(tmp_path, [draft(0)], Review(double=0))
    store.add_reviewer("ada", adjudicates=False)
    ada = Person(store, "ada")
    assert "<h1>Be fair</h1>" in ada.client.get("/chat/guideline").text
    assert "The run goes on when it is started again" in ada.decide("accept").text
    store.close(DOMAIN)
    assert "closed" in ada.client.get("/chat/review").text
    store.engine.dispose()


def test_no_page_of_ours_needs_what_the_policy_forbids(store):
    ada, ben = pair(store)
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="edit", edited="y")
    for path in ("/", "/sign-in", "/chat/review", "/chat/conflicts", "/chat/guideline", "/agreement"):
        page = ada.client.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)", page), path
        assert not re.search(r'(src|href|action)="(?!/)', page), path


def test_hostile_drafts_do_not_leave_their_place(tmp_path):
    text = '</textarea></div><script>alert(1)</script><form action="//evil"><img src=x onerror=alert(1)>'
    store = review_store(tmp_path, [draft(0, response=text)], Review(double=1))
    ada, ben = pair(store)
    page = ada.client.get("/chat/review").text
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="edit", edited=text + "<script>alert(2)</script>")
    for html in (page, ada.client.get("/chat/conflicts").text):
        assert "<script>alert" not in html
        assert "<img" not in html
        assert '<form action="//evil"' not in html
    store.engine.dispose()


def test_a_draft_of_a_size_that_nobody_reads_is_not_in_the_queue(tmp_path):
    store = review_store(tmp_path, [draft(0, response="x" * 50_000_000), draft(1)], Review(double=0))
    store.add_reviewer("ada", adjudicates=False)
    ada = Person(store, "ada")
    assert "0</strong> of 1" in ada.client.get("/chat/review").text
    store.engine.dispose()


def test_leading_line_feeds_survive_the_form(tmp_path):
    store = review_store(tmp_path, [draft(0, response="\n\nTwo lines above.")], Review(double=0))
    store.add_reviewer("ada", adjudicates=False)
    page = Person(store, "ada").client.get("/chat/review").text
    assert "\n\n\nTwo lines above.</textarea>" in page, "a browser drops the first line feed of a textarea"
    store.engine.dispose()


def conflict_on_the_screen_of_both(store) -> tuple[Person, Person]:
    """Ada accepts a draft, then ben rejects it."""
    ada, ben = pair(store)
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="reject", reason="clash")
    return ada, ben


def test_a_slip_can_be_taken_back_at_once(store):
    ben = conflict_on_the_screen_of_both(store)[1]
    assert ben.undo().status_code == 200
    assert store.progress(DOMAIN).conflicts == 0


@pytest.mark.parametrize("page", ["/", "/chat/conflicts", "/agreement"])
def test_who_was_shown_a_conflict_cannot_change_their_mind(store, page):
    ada, ben = conflict_on_the_screen_of_both(store)
    ben.client.get(page)
    answer = ben.undo()
    assert answer.status_code == 409
    assert "your verdict stands" in answer.text
    assert store.progress(DOMAIN).conflicts == 1
    assert ada.undo().status_code == 200, "who was not, can"


def test_the_end_of_the_queue_tells_of_conflicts_too(tmp_path):
    store = review_store(tmp_path, [draft(0)], Review(double=1))
    ben = conflict_on_the_screen_of_both(store)[1]
    assert "1 conflict to settle" in ben.client.get("/chat/review").text
    assert ben.undo().status_code == 409
    store.engine.dispose()


def test_those_who_may_not_settle_see_no_verdicts(store):
    store.add_reviewer("cyd", adjudicates=True)
    ada, _ = conflict_on_the_screen_of_both(store)
    page = ada.client.get("/chat/conflicts").text
    assert "settled by this run" in page
    assert "clash" not in page
    assert "clash" in Person(store, "cyd").client.get("/chat/conflicts").text


def test_progress_and_pace(tmp_path):
    clock = Clock()
    store = review_store(tmp_path, [draft(i) for i in range(26)], Review(double=0), clock=clock)
    store.add_reviewer("ada", adjudicates=False)
    ada = Person(store, "ada")
    for given in range(6):
        page = ada.client.get("/chat/review").text
        assert f"{given}</strong> of 26" in page
        assert f'<progress value="{given}" max="26"' in page
        assert ("120 an hour" in page) == (given >= 5), "from fewer verdicts nobody can tell"
        clock.now += 30
        ada.decide("accept")
    page = ada.client.get("/chat/review").text
    assert "about 10 min left" in page
    overview = ada.client.get("/").text
    assert '6 <span class="muted">of 26</span>' in overview
    assert "120 an hour" in overview
    assert "20 left" in overview
    store.engine.dispose()


def test_edits_are_shown_by_what_changed_and_as_text(tmp_path):
    store = review_store(tmp_path, [draft(0, response="One two three.")], Review(double=1))
    ada, ben = pair(store)
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="edit", edited="One <b>\u202e three.")
    page = ada.client.get("/chat/conflicts").text
    assert re.search(r"<del>two ?</del>", page)
    assert "&lt;b&gt;[U+202E]" in page
    assert "<b>" not in page
    store.engine.dispose()
