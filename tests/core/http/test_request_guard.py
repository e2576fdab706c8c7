"""What is settled before an application sees a request, over real sockets: who, from where, how much, how slowly."""

import asyncio
import contextlib
import json
import logging
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.http.request_guard import (
    Body,
    Guard,
    Message,
    Receive,
    Refused,
    RequestLimits,
    Scope,
    Send,
    is_authorized,
)
from loopback import render_refusal, served
from raw import connect, exchange, one, status, statuses, until_closed

LIMIT = 100_000
SESAME = {"Authorization": "Bearer sesame"}
HEAD = "POST /take HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\nContent-Type: application/json\r\n"


class Toy:
    """Tells how long a body was; counts what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.gone = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        path, length = scope["path"], 0
        if path == "/fails":
            raise ValueError("a secret of ours")
        if path == "/late":
            raise TimeoutError
        if path == "/refuses":
            raise Refused(409, "conflict", "not now", "later")
        if path == "/never":
            while (await receive())["type"] != "http.disconnect":
                pass
            return self.gone.set()
        if path == "/forgets":  # the body
            return await _answer(send, b"early")
        if path == "/breaks":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ValueError("in the middle")
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            length += len(message.get("body", b""))
        self.seen.append((path, length))
        try:
            await _answer(send, b"x" * (64 << 20) if path == "/much" else str(length).encode())
        except BaseException:
            self.gone.set()
            raise


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for begin in range(0, len(body), 1 << 16):
        await send({"type": "http.response.body", "body": body[begin : begin + (1 << 16)], "more_body": True})
    await send({"type": "http.response.body"})


async def _lifespan(receive: Receive, send: Send) -> None:
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


def guarded(toy: Toy, **changed: Any) -> Guard:
    bodies = {
        "/take": Body(max_bytes=LIMIT),
        "/stream": Body(max_bytes=LIMIT, kind="application/octet-stream", streamed=True),
        "/forgets": Body(max_bytes=1 << 30, kind="application/octet-stream", streamed=True),
    }
    rules = {
        "render_refusal": render_refusal,
        "token": "sesame",
        "without_token": frozenset({"/health"}),
        "bodies": bodies,
        **changed,
    }
    return Guard(toy, RequestLimits(**rules))


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def url(toy: Toy) -> Iterator[str]:
    with served(guarded(toy)) as base:
        yield base


def post(url: str, path: str = "/take", **settings: Any) -> httpx.Response:
    headers = {**SESAME, "Content-Type": "application/json", **settings.pop("headers", {})}
    return httpx.post(url + path, headers=headers, **{"content": b"{}", **settings})


# --- who -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "token", "admitted"),
    [
        ("Bearer sesame", "sesame", True),
        ("bearer sesame", "sesame", True),
        ("Bearer other", "sesame", False),
        ("Basic sesame", "sesame", False),
        ("sesame", "sesame", False),
        ("", "sesame", False),
        ("Bearer sésame", "sesame", False),
        ("", None, True),
    ],
)
def test_a_request_bears_the_token_or_none_is_wanted(authorization: str, token: str | None, admitted: bool) -> None:
    assert is_authorized(authorization, token) is admitted


def test_the_token_is_asked_for_everywhere_but_where_it_is_not(url: str, toy: Toy) -> None:
    for path in ("/take", "/", "/nowhere", "/health/../take"):
        answer = httpx.get(url + path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.get(f"{url}/health").status_code == 200
    assert post(url).text == "2"
    assert [path for path, _ in toy.seen] == ["/health", "/take"]


def test_a_body_without_a_token_is_never_read(url: str, toy: Toy) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def pieces() -> Iterator[bytes]:
        for _ in range(150):
            yield bytes(1 << 20)

    for headers in ({}, {"Content-Length": str(150 << 20)}):  # in chunks, and of a stated length
        with httpx.Client() as client:
            answer = client.post(
                f"{url}/take", content=pieces(), headers={"Content-Type": "application/json", **headers}
            )
        assert (answer.status_code, answer.headers["connection"]) == (401, "close")
    assert toy.seen == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10, "KiB; the bodies are 300 MiB"


# --- from where ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "192.0.2.1", "a b", ""])
def test_a_name_that_is_not_ours_is_refused_on_every_path(url: str, toy: Toy, host: str) -> None:
    for path in ("/take", "/health"):
        assert status(exchange(url, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())) in (400, 421)
    assert post(url, headers={"Host": "evil.example"}).json() == {"error": "unknown_host"}
    assert toy.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_others_change_nothing(url: str, toy: Toy, headers: dict[str, str]) -> None:
    assert post(url, headers=headers).json() == {"error": "foreign_origin"}
    assert httpx.request("DELETE", url, headers={**SESAME, **headers}).status_code == 403
    assert toy.seen == []


def test_pages_of_ours_may(url: str) -> None:
    assert post(url, headers={"Origin": url, "Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x"])
def test_what_a_web_page_can_send_without_asking_is_not_taken(url: str, toy: Toy, kind: str) -> None:
    assert post(url, headers={"Content-Type": kind}).status_code == 415
    assert post(url, headers={"Content-Type": f"{kind}; charset=application/json"}).status_code == 415
    assert toy.seen == []


def test_json_has_several_names_and_no_coding(url: str) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/problem+json"):
        assert post(url, headers={"Content-Type": kind}).status_code == 200
    assert post(url, headers={"Content-Encoding": "gzip"}).status_code == 415


# --- how much ------------------------------------------------------------------------------------------------------


def test_a_length_above_the_limit_is_refused_unread(url: str, toy: Toy) -> None:
    for path, kind in (("/take", "application/json"), ("/stream", "application/octet-stream")):
        head = HEAD.replace("/take", path).replace("application/json", kind)
        assert status(exchange(url, f"{head}Content-Length: {LIMIT + 1}\r\n\r\n".encode())) == 413
    assert toy.seen == []
    assert post(url, content=b"x" * LIMIT).text == str(LIMIT)
    assert post(url, "/other", content=b"x" * ((1 << 16) + 1)).status_code == 413


def test_many_values_are_refused_unread(toy: Toy) -> None:
    bodies = {"/take": Body(max_bytes=LIMIT, max_values=100)}
    with served(guarded(toy, bodies=bodies)) as url:
        assert post(url, content=b"[" + b"[]," * 49 + b"0]").status_code == 200
        assert post(url, content=b"[" + b"[]," * 51 + b"0]").status_code == 413
        assert post(url, content=b'"' + b"[]," * 51 + b'"').status_code == 200
    assert len(toy.seen) == 2


@pytest.mark.parametrize("path", ["/take", "/stream"])
def test_chunks_without_an_end_are_cut_at_the_limit(url: str, path: str) -> None:
    kind = "application/octet-stream" if path == "/stream" else "application/json"
    head = HEAD.replace("/take", path).replace("application/json", kind)
    with closing(connect(url)) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while True:
                connection.sendall(b"400\r\n" + bytes(0x400) + b"\r\n")
        assert status(until_closed(connection)) == 413


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -1",
        "Content-Length: +2",
        "Content-Length: 0x2",
        "Content-Length: 2.0",
        "Content-Length: ",
        "Content-Length: 2, 3",
        "Content-Length: 2\r\nContent-Length: 3",
        f"Content-Length: {'9' * 40}",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 2",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Content-Length : 2",
        "Content-Type: application/json",  # a second one
        "Authorization: Bearer sesame",
        "Host: localhost",
        "Origin: http://localhost\r\nOrigin: http://localhost",
    ],
)
def test_headers_that_contradict_one_another_end_the_connection(url: str, toy: Toy, headers: str) -> None:
    inner = HEAD.replace("/take", "/health").encode() + b"\r\n"
    answer = exchange(url, f"{HEAD}{headers}\r\n\r\n{{}}".encode() + inner)
    assert statuses(answer) in ([400], [413])
    assert toy.seen == [], "and what follows is no second request"


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}extra\r\n0\r\n\r\n", b"2" + b";" * 40_000]
)
def test_chunks_that_are_none(url: str, toy: Toy, chunks: bytes) -> None:
    assert statuses(exchange(url, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)) == [400]
    assert toy.seen == []


def test_get_has_no_body(url: str) -> None:
    request = HEAD.replace("POST", "GET").encode()
    assert status(exchange(url, request + b"Content-Length: 2\r\n\r\n{}")) == 413


def test_what_is_left_of_a_body_is_no_request(url: str, toy: Toy) -> None:
    inner = b"POST /take HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for path, kind in (("/forgets", "application/octet-stream"), ("/take", "text/plain")):
        head = HEAD.replace("/take", path).replace("application/json", kind).encode()
        answer = exchange(url, head + f"Content-Length: {1000 + len(inner)}\r\n\r\n".encode() + inner)
        assert len(statuses(answer)) == 1
        assert b"connection: close" in answer
    assert toy.seen == []


def test_bodies_under_way_have_a_bound_together(toy: Toy) -> None:
    with served(guarded(toy, max_held_bytes=150_000, min_wait_seconds=60.0)) as url, closing(connect(url)) as other:
        other.sendall(f"{HEAD}Content-Length: {LIMIT}\r\n\r\n".encode() + bytes(LIMIT - 1))
        while True:  # until the first is there
            answer = post(url, content=bytes(LIMIT))
            if answer.status_code == 503:
                break
        assert answer.headers["retry-after"] == "1"
        other.sendall(b"x")
        assert status(one(other)) == 200
        assert post(url, content=bytes(LIMIT)).status_code == 200


def test_requests_under_way_have_a_bound(toy: Toy) -> None:
    with served(guarded(toy, max_requests=2)) as url:
        waiting = [connect(url) for _ in range(2)]
        for connection in waiting:
            connection.sendall(HEAD.replace("/take", "/never").encode() + b"\r\n")
        while (answer := post(url)).status_code == 200:
            pass
        assert answer.json() == {"error": "overloaded"}
        for connection in waiting:
            connection.close()
        assert toy.gone.wait(20)
        while post(url).status_code != 200:
            pass


def test_who_keeps_the_server_waiting_longest_makes_room(toy: Toy) -> None:
    """Forms of strangers that do not come, answers that nobody reads, bodies without their last byte."""
    guard = guarded(toy, max_requests=2, max_held_bytes=LIMIT + 1000, min_wait_seconds=0.0)
    slow = HEAD.replace("/take", "/stream").replace("application/json", "application/octet-stream")
    unread = HEAD.replace("/take", "/much").encode() + b"\r\n"
    with served(guard, linger_seconds=0.3) as url, ExitStack() as open_ones:
        forms, readers, bodies = (
            [open_ones.enter_context(closing(connect(url))) for _ in range(count)] for count in (5, 3, 2)
        )
        for connection in forms:
            connection.sendall(f"{slow}Content-Length: 10\r\n\r\nx".encode())
        assert {status(until_closed(connection)) for connection in forms[:3]} == {408}
        for connection in readers:
            connection.sendall(unread)
        assert {status(until_closed(connection)) for connection in forms[3:]} == {408}
        assert len(until_closed(readers[0])) < 64 << 20
        for connection in readers:
            connection.close()
        for connection in bodies:
            connection.sendall(f"{HEAD}Content-Length: {LIMIT}\r\n\r\n".encode() + bytes(LIMIT - 1))
        assert post(url, content=bytes(2000)).status_code == 200
        assert sorted(status(until_closed(connection)) for connection in bodies[:1]) == [408]
        bodies[1].sendall(b"x")
        while guard.requests or guard.held_bytes or guard.waiting:
            pass


# --- how slowly ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/take", "/stream"])
def test_a_body_that_does_not_come_ends(toy: Toy, path: str) -> None:
    kind = "application/octet-stream" if path == "/stream" else "application/json"
    head = HEAD.replace("/take", path).replace("application/json", kind)
    with served(guarded(toy, body_seconds=0.3)) as url:
        assert status(exchange(url, f"{head}Content-Length: 10\r\n\r\n{{".encode())) == 408
        assert post(url).status_code == 200


def test_a_request_has_an_end(toy: Toy) -> None:
    with served(guarded(toy, total_seconds=0.3)) as url:
        answer = post(url, "/never")
        assert (answer.status_code, answer.json()) == (503, {"error": "timeout"})


def test_a_client_that_does_not_read_is_let_go(toy: Toy) -> None:
    with served(guarded(toy, write_seconds=0.3), linger_seconds=0.3) as url, closing(connect(url)) as connection:
        connection.sendall(HEAD.replace("/take", "/much").encode() + b"\r\n")
        assert toy.gone.wait(20)
        assert len(until_closed(connection)) < 64 << 20


# --- what goes wrong -----------------------------------------------------------------------------------------------


def test_the_log_of_a_fault_has_no_secret(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TOKEN", "a secret of ours")
    with caplog.at_level(logging.ERROR):
        assert post(url, "/fails").status_code == 500
    assert "ValueError: ***" in caplog.text
    assert "a secret of ours" not in caplog.text


def test_our_own_faults_are_told_in_our_form_and_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        for path in ("/fails", "/late"):
            answer = post(url, path)
            assert (answer.status_code, answer.json()) == (500, {"error": "internal_error"})
            assert "secret" not in answer.text
    assert "a secret of ours" in caplog.text
    assert post(url, "/refuses").status_code == 409
    with pytest.raises(httpx.RemoteProtocolError):
        post(url, "/breaks")
    assert post(url).status_code == 200


def test_websockets_are_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(guarded(Toy())({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# --- anything ------------------------------------------------------------------------------------------------------

NAMES = ("Host", "Origin", "Authorization", "Content-Length", "Content-Type", "Transfer-Encoding", "Expect", "X-Any")
VALUES = (
    "localhost",
    "Bearer sesame",
    "application/json",
    "chunked",
    "2",
    "0",
    "100-continue",
    "http://localhost",
    "é",
)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[str, Toy]]:
    toy = Toy()
    with served(guarded(toy, body_seconds=0.05, min_rate=1e9), header_seconds=0.2) as base:
        yield base, toy


@settings(max_examples=60, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT", "get", "PO ST", ""]),
    target=st.sampled_from(["/take", "/stream", "*", "http://evil/", "/%00", "/" + "a" * 20_000, "take", "/é"]),
    headers=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=8)), max_size=6),
    body=st.binary(max_size=30),
)
def test_whatever_comes_is_answered_in_our_form_or_not_at_all(shared, method, target, headers, body) -> None:
    url, _ = shared
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    with closing(connect(url)) as connection:
        connection.sendall("\r\n".join(lines).encode(errors="surrogatepass") + b"\r\n\r\n" + body)
        connection.shutdown(1)
        answer = until_closed(connection)
    for part in answer.split(b"HTTP/1.1 ")[1:]:
        head, _, said = part.partition(b"\r\n\r\n")
        number = int(head[:3])
        assert number != 500
        if number >= 400 and said:
            assert json.loads(said).keys() == {"error"}
    assert post(url).status_code == 200, "and the server goes on"
