"""The app over HTTP, without a browser: who may do what, and what is answered to those who may not."""

import re
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from afterbase.core.http.allowed_hosts import allowed_hosts
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import secret_of
from afterbase.data.review.web.access import cookie_name, token
from afterbase.data.review.web.review_app import create_app
from loopback import served
from raw import exchange, status
from review_people import BASE, Person, pair, votes
from review_toys import DOMAIN, accept, review_all

HTMX = {"HX-Request": "true"}

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
    ada.undo()
    assert len(votes(store)) == 2


def test_htmx_gets_the_part_that_changes_and_others_are_sent_on(store):
    ada = Person(store, "ada", follow=False)
    answer = ada.decide("accept", headers=HTMX)
    assert answer.status_code == 200
    assert answer.text.startswith('<div id="work"')
    answer = ada.decide("accept")
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat/review")
    answer = ada.undo()
    assert (answer.status_code, answer.headers["location"]) == (303, "/chat/review")


def test_a_conflict_is_shown_without_names_and_settled(store):
    ada, ben = pair(store)
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


def test_an_undo_twice_undoes_once(store):
    ada = Person(store, "ada")
    for _ in range(3):
        ada.decide("accept")
    last = str(store.last(DOMAIN, "ada"))
    for _ in range(2):
        assert ada.send("/chat/undo", of="review", verdict=last).status_code == 200
    assert len(votes(store)) == 2
    ada.decide("reject", reason="clash")
    stale = ada.send("/chat/undo", of="review", verdict=str(int(last) - 1))
    assert stale.status_code == 409
    assert "decided another draft since" in stale.text
    for verdict in ("", "x", "-1", "9" * 40):
        assert ada.send("/chat/undo", of="review", verdict=verdict).status_code == 400
    assert len(votes(store)) == 3


def test_settling_and_its_undo(store):
    ada, ben = pair(store)
    item = ada.item()
    ada.decide("accept")
    ben.send(f"/chat/review/{item}", outcome="reject", reason="clash")
    version = str(store.item(DOMAIN, item).version)
    for _ in range(2):  # a form sent twice
        assert ben.send(f"/chat/conflicts/{item}", take="0", version=version).status_code == 200
    assert "No conflicts to settle" in ben.client.get("/chat/conflicts").text
    assert ben.undo(of="conflicts").status_code == 200
    assert "conflict to settle" in ben.client.get("/chat/conflicts").text


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
    client = TestClient(create_app(store), BASE, follow_redirects=False)
    for path in ("/", "/chat/review", "/chat/conflicts", "/chat/guideline", "/agreement"):
        assert client.get(path).headers["location"] == "/sign-in"
    for path in ("/chat/review/1", "/chat/conflicts/1", "/chat/undo", "/sign-out"):
        assert client.post(path, data={"outcome": "accept"}).status_code == 401
    answer = client.post("/chat/review/1", data={"outcome": "accept"}, headers=HTMX)
    assert answer.status_code == 401
    assert "this was not taken" in answer.text, "and a script leaves the page, and what was written, as it is"
    assert votes(store) == []


@pytest.mark.parametrize("wrong", ["", "x", "0" * 32, "é", "ada"])
def test_a_wrong_token_is_no_way_in(store, wrong):
    client = TestClient(create_app(store), BASE)
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
    client = TestClient(create_app(other), BASE)
    assert client.post("/sign-in", data={"token": token(secret, store.run, "ada")}).status_code == 401


def test_the_cookie_is_out_of_reach(store):
    client = TestClient(create_app(store), BASE, follow_redirects=False)
    answer = client.post("/sign-in", data={"token": token(secret_of(store.engine), store.run, "ada")})
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}


def test_forms_of_other_sites_are_refused(store):
    ada, ben = pair(store)
    item = ada.item()
    path = f"/chat/review/{item}"
    assert ada.client.post(path, data={"outcome": "accept"}).status_code == 403
    assert ada.client.post(path, data={"outcome": "accept", "word": ben.word}).status_code == 403
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert ada.send(path, outcome="accept", headers=headers).status_code == 403
        data = {"token": token(ada.secret, store.run, "ada")}
        assert ada.client.post("/sign-in", data=data, headers=headers).status_code == 403
    assert votes(store) == []
    assert ada.send(path, outcome="accept", headers={"Origin": "http://localhost"}).status_code == 200


def test_bytes_that_are_no_form(store):
    ada = Person(store, "ada")
    path = f"/chat/review/{ada.item()}"
    for body in (b"\xff\xfe", b"word=%ff", b"{}", b""):
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        assert ada.client.post(path, content=body, headers=kind).status_code in (400, 403)
        assert ada.client.post(path, content=body).status_code == (415 if body else 403)


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


def test_every_answer_forbids_foreign_scripts(store):
    ada = Person(store, "ada")
    for path in ("/", "/sign-in", "/chat/review", "/static/review.js", "/nothing"):
        headers = ada.client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_long_queue_is_left_as_it_was_by_readers(store):
    ada = Person(store, "ada")
    version = store.progress(DOMAIN)
    for path in ("/", "/agreement", "/chat/conflicts", "/chat/guideline"):
        ada.client.get(path)
    assert store.progress(DOMAIN) == version
    assert review_all(store, "ada", accept) == 10
    assert store.item(DOMAIN, 1).votes[0].outcome is Outcome.ACCEPT


# --- doors --------------------------------------------------------------------------------------------------------


def test_a_withdrawn_link_and_its_sessions_end_at_once(store):
    ada, ben = pair(store)
    item = ada.item()
    old = token(ada.secret, store.run, "ada")
    store.withdraw("ada")
    assert ada.client.get("/chat/review", follow_redirects=False).headers["location"] == "/sign-in"
    assert ada.send(f"/chat/review/{item}", outcome="accept").status_code == 401
    assert ada.client.post("/sign-in", data={"token": old}).status_code == 401
    fresh = token(ada.secret, store.run, "ada", 1)
    assert ada.client.post("/sign-in", data={"token": fresh}).status_code == 200
    assert ada.decide("accept").status_code == 200
    assert ben.client.get("/chat/review").status_code == 200, "others are not signed out"


@pytest.mark.parametrize(("base", "secure"), [("http://localhost", False), ("https://localhost", True)])
def test_behind_tls_the_cookie_travels_in_no_plain_request(store, base, secure):
    client = TestClient(create_app(store), base, follow_redirects=False)
    store.add_reviewer("ada", adjudicates=False)
    answer = client.post("/sign-in", data={"token": token(secret_of(store.engine), store.run, "ada")})
    parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
    assert ("secure" in parts) is secure


def test_a_proxy_on_this_machine_tells_of_tls(store):
    store.add_reviewer("ada", adjudicates=False)
    with served(create_app(store)) as url:
        data = {"token": token(secret_of(store.engine), store.run, "ada")}
        for proto, secure in (("https", True), ("http", False)):
            answer = httpx.post(f"{url}/sign-in", data=data, headers={"X-Forwarded-Proto": proto})
            assert ("secure" in answer.headers["set-cookie"].lower()) is secure


def test_a_name_that_is_not_the_servers_is_refused_on_every_page(store):
    client = TestClient(create_app(store), "http://evil.example", follow_redirects=False)
    for path in ("/", "/sign-in", "/static/review.js"):
        answer = client.get(path)
        assert (answer.status_code, "not known as" in answer.text) == (421, True)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    named = TestClient(create_app(store, allowed_hosts("127.0.0.1", ["review.example"])), "https://review.example")
    assert named.get("/sign-in", headers={"Origin": "https://review.example"}).status_code == 200


def test_a_form_that_is_too_long_is_cut_off(store):
    ada = Person(store, "ada")
    path = f"/chat/review/{ada.item()}"
    assert ada.send(path, outcome="edit", edited="x" * 3_000_000).status_code == 413
    assert ada.decide("accept").status_code == 200


def test_a_form_is_not_read_before_it_is_known_who_sent_it(store):
    with served(create_app(store)) as url:
        head = "POST /chat/review/1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        answer = exchange(url, f"{head}Content-Length: 2000000\r\n\r\n".encode())  # and nothing comes
    assert status(answer) == 401
