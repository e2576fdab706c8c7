"""What is settled before an application sees a request, over real sockets: who, from where, how much, how slowly."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.http.request_guard import (
    Body,
    Message,
)
from guarded_toy import HEAD, LIMIT, Toy, guarded, post
from loopback import served
from raw import connect, exchange, one, status, statuses, until_closed

# --- who -----------------------------------------------------------------------------------------------------------


# --- from where ----------------------------------------------------------------------------------------------------


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
