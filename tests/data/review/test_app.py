"""The app over HTTP, without a browser: who may do what, and what is answered to those who may not."""

import re
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from afterbase.data.review.access import cookie_name, form_word, token
from afterbase.data.review.app import create_app
from afterbase.data.review.decisions import Outcome
from afterbase.data.review.policy import Review
from afterbase.data.review.queue import LONGEST
from afterbase.data.review.store import ReviewStore
from afterbase.data.review.tables import secret_of
from review_toys import DOMAIN, SECRET_VERIFIER, accept, draft, review_all, review_store

HTMX = {"HX-Request": "true"}
TEN = [draft(i, value=0.5) for i in range(10)]


@pytest.fixture
def store(tmp_path):
    """Ten drafts that two people review."""
    made = review_store(tmp_path, TEN, Review(double=1))
    for name in ("ada", "ben"):
        made.add_reviewer(name, adjudicates=False)
    yield made
    made.engine.dispose()


class Person:
    """A signed-in browser without scripts."""

    def __init__(self, store: ReviewStore, name: str, *, follow: bool = True) -> None:
        self.secret, self.name = secret_of(store.engine), name
        self.client = TestClient(create_app(store), follow_redirects=follow)
        self.word = form_word(self.secret, store.run, name)
        answer = self.client.post("/sign-in", data={"token": token(self.secret, store.run, name)})
        assert answer.status_code in (200, 303)

    def item(self) -> int:
        """The draft on the screen."""
        return int(re.findall(r'action="/chat/\w+/(\d+)"', self.client.get("/chat/review").text)[0])

    def send(self, path: str, **fields):
        headers = fields.pop("headers", {})
        return self.client.post(path, data={"word": self.word, **fields}, headers=headers)

    def decide(self, outcome: str, **fields):
        return self.send(f"/chat/review/{self.item()}", outcome=outcome, **fields)


def votes(store: ReviewStore) -> list[tuple[str, str, str, str | None]]:
    with store.engine.connect():
        decided = store.close(DOMAIN)[1]
    return [(v.reviewer, str(v.outcome), v.reason, v.edited) for item in decided for v in item.votes]


# --- the way through ----------------------------------------------------------------------------------------------


def test_accept_reject_edit_skip_and_undo(store):
    ada = Person(store, "ada")
    assert "0</strong> of 10" in ada.client.get("/chat/review").text
    assert "1</strong> of 10" in ada.decide("accept").text
    ada.decide("reject", reason="off_topic")
    ada.decide("edit", edited="Better.\r\nMuch.", reason="slip")
    assert sorted(votes(store)) == [
        ("ada", "accept", "good", None),
        ("ada", "edit", "slip", "Better.\nMuch."),
        ("ada", "reject", "off_topic", None),
    ]
    before = ada.item()
    ada.decide("skip")
    assert ada.item() != before
    ada.send("/chat/undo")
    assert len(votes(store)) == 2


def test_htmx_gets_the_part_that_changes_and_others_are_sent_on(store):
    ada = Person(store, "ada", follow=False)
    answer = ada.decide("accept", headers=HTMX)
    assert answer.status_code == 200
    assert answer.text.startswith('<div id="work"')
    answer = ada.decide("accept")
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat/review")
    answer = ada.send("/chat/undo")
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat/review")


def test_a_conflict_is_shown_without_names_and_settled(store):
    ada, ben = Person(store, "ada"), Person(store, "ben")
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="edit", edited="Answer, mended.")
    page = ada.client.get("/chat/conflicts").text
    assert "1</strong> conflict to settle" in page
    assert "ben" not in page
    assert "· yours" in page
    assert "<ins>, mended</ins>" in page or "<ins>" in page
    version = re.findall(r'name="version" value="(\d+)"', page)[0]
    stale = ada.send(f"/chat/conflicts/{item}", take="1", version=str(int(version) + 1))
    assert stale.status_code == 409
    assert "look again" in stale.text
    answer = ada.send(f"/chat/conflicts/{item}", take="1", version=version)
    assert "No conflicts to settle" in answer.text
    assert ("ada", "edit", "edited", "Answer, mended.") in votes(store)
    late = ben.send(f"/chat/conflicts/{item}", outcome="reject", reason="clash", version=version)
    assert late.status_code == 409
    assert "ada has settled this conflict already" in late.text


def test_the_model_s_word_is_on_no_page(store):
    ada, ben = Person(store, "ada"), Person(store, "ben")
    item = ada.item()
    ada.send(f"/chat/review/{item}", outcome="accept")
    ben.send(f"/chat/review/{item}", outcome="reject", reason="clash")
    for page in ("/", "/chat/review", "/chat/conflicts", "/chat/guideline", "/agreement"):
        text = ada.client.get(page).text
        assert SECRET_VERIFIER not in text
        assert "so it said" not in text


def test_the_second_reviewer_sees_nothing_of_the_first(store):
    ada, ben = Person(store, "ada"), Person(store, "ben")
    item = ben.item()
    before = ben.client.get("/chat/review").text
    ada.send(f"/chat/review/{item}", outcome="reject", reason="unsafe")
    after = ben.client.get("/chat/review").text
    assert re.sub(r'name="version" value="\d+"', "", before) == re.sub(r'name="version" value="\d+"', "", after)


def test_agreement_waits_until_it_tells_nothing(store):
    ada, ben = Person(store, "ada"), Person(store, "ben")
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
    store = review_store(tmp_path, TEN[:1], Review(double=0))
    store.add_reviewer("ada", adjudicates=False)
    ada = Person(store, "ada")
    assert "<h1>Be fair</h1>" in ada.client.get("/chat/guideline").text
    assert "The run goes on when it is started again" in ada.decide("accept").text
    store.close(DOMAIN)
    assert "closed" in ada.client.get("/chat/review").text
    store.engine.dispose()


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_verdict_twice_counts_once(store):
    ada = Person(store, "ada")
    item = ada.item()
    for _ in range(2):
        assert ada.send(f"/chat/review/{item}", outcome="accept").status_code == 200
    again = ada.send(f"/chat/review/{item}", outcome="reject", reason="clash", headers=HTMX)
    assert again.status_code == 409
    assert "undo that first" in again.text
    assert again.text.startswith('<div id="work"'), "and the next draft is there"
    assert votes(store) == [("ada", "accept", "good", None)]


def test_nobody_without_a_token_sees_or_does_anything(store):
    client = TestClient(create_app(store), follow_redirects=False)
    for path in ("/", "/chat/review", "/chat/conflicts", "/chat/guideline", "/agreement"):
        assert client.get(path).headers["location"] == "/sign-in"
    for path in ("/chat/review/1", "/chat/conflicts/1", "/chat/undo", "/sign-out"):
        assert client.post(path, data={"outcome": "accept"}).status_code == 401
    answer = client.post("/chat/review/1", data={"outcome": "accept"}, headers=HTMX)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")
    assert votes(store) == []


@pytest.mark.parametrize("wrong", ["", "x", "0" * 32, "é", "ada"])
def test_a_wrong_token_is_no_way_in(store, wrong):
    client = TestClient(create_app(store))
    answer = client.post("/sign-in", data={"token": wrong})
    assert answer.status_code == 401
    assert "no reviewer's token" in answer.text.replace("&#39;", "'")
    cookie = cookie_name(secret_of(store.engine), store.run)
    client.cookies.set(cookie, quote(wrong))
    assert client.get("/chat/review", follow_redirects=False).status_code == 303


def test_tokens_of_other_runs_do_not_fit(store):
    secret = secret_of(store.engine)
    other = ReviewStore(store.engine, "other")
    other.add_reviewer("ada", adjudicates=False)
    client = TestClient(create_app(other))
    assert client.post("/sign-in", data={"token": token(secret, store.run, "ada")}).status_code == 401


def test_the_cookie_is_out_of_reach(store):
    client = TestClient(create_app(store), follow_redirects=False)
    answer = client.post("/sign-in", data={"token": token(secret_of(store.engine), store.run, "ada")})
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}


def test_forms_of_other_sites_are_refused(store):
    ada, ben = Person(store, "ada"), Person(store, "ben")
    item = ada.item()
    path = f"/chat/review/{item}"
    assert ada.client.post(path, data={"outcome": "accept"}).status_code == 403
    assert ada.client.post(path, data={"outcome": "accept", "word": ben.word}).status_code == 403
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert ada.send(path, outcome="accept", headers=headers).status_code == 403
        data = {"token": token(ada.secret, store.run, "ada")}
        assert ada.client.post("/sign-in", data=data, headers=headers).status_code == 403
    assert votes(store) == []
    assert ada.send(path, outcome="accept", headers={"Origin": "http://testserver"}).status_code == 200


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


def test_bytes_that_are_no_form(store):
    ada = Person(store, "ada")
    path = f"/chat/review/{ada.item()}"
    for body in (b"\xff\xfe", b"word=%ff", b"{}", b""):
        assert ada.client.post(path, content=body).status_code in (400, 403)


@pytest.mark.parametrize(
    "path",
    ["/nowhere/review", "/nowhere/guideline", "/nowhere/conflicts", "/x", "/chat/", "/static/../app.py", "/docs",
     "/openapi.json", "/static/nothing"],
)  # fmt: skip
def test_pages_that_are_not_there(store, path):
    assert Person(store, "ada").client.get(path).status_code == 404


@pytest.mark.parametrize("item", ["0", "999", "-1", "9" * 40, "x", "1.5"])
def test_drafts_that_are_not_there(store, item):
    ada = Person(store, "ada")
    for path in (f"/chat/review/{item}", f"/chat/conflicts/{item}", f"/nowhere/review/{item}"):
        assert ada.send(path, outcome="accept", version="0").status_code in (404, 409)
    assert votes(store) == []


def test_settling_what_is_no_conflict(store):
    ada = Person(store, "ada")
    item = ada.item()
    assert ada.send(f"/chat/conflicts/{item}", outcome="accept", version="0").status_code == 409
    for fields in ({"take": "9", "version": "0"}, {"take": "x", "version": "0"}, {"outcome": "accept"}):
        assert ada.send(f"/chat/conflicts/{item}", **fields).status_code == 400
    assert votes(store) == []


def test_every_answer_forbids_foreign_scripts(store):
    ada = Person(store, "ada")
    for path in ("/", "/sign-in", "/chat/review", "/static/review.js", "/nothing"):
        headers = ada.client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_no_page_of_ours_needs_what_the_policy_forbids(store):
    ada, ben = Person(store, "ada"), Person(store, "ben")
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
    for name in ("ada", "ben"):
        store.add_reviewer(name, adjudicates=False)
    ada, ben = Person(store, "ada"), Person(store, "ben")
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


def test_a_long_queue_is_left_as_it_was_by_readers(store):
    ada = Person(store, "ada")
    version = store.standing(DOMAIN)
    for path in ("/", "/agreement", "/chat/conflicts", "/chat/guideline"):
        ada.client.get(path)
    assert store.standing(DOMAIN) == version
    assert review_all(store, "ada", accept) == 10
    assert store.item(DOMAIN, 1).votes[0].outcome is Outcome.ACCEPT
