"""Connections that send nothing, or are too many, never keep others from a server."""

import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from afterbase.core.http import connections
from afterbase.core.http.request_guard import Guard, Receive, RequestLimits, Scope, Send
from loopback import render_refusal, served
from raw import connect, exchange, one, status, statuses, until_closed

AT_WORK = threading.Semaphore(0)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        kind = ""
        while kind != "lifespan.shutdown":
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
        return
    if scope["path"] == "/stay":
        AT_WORK.release()
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


APP = Guard(hello, RequestLimits(render_refusal=render_refusal))
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def url() -> Iterator[str]:
    with served(APP, header_seconds=0.3, idle_seconds=1) as base:
        yield base


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: loc"])
def test_a_request_whose_headers_do_not_come_ends(url: str, begun: bytes) -> None:
    assert exchange(url, begun) == b""


def test_headers_letter_by_letter_have_a_deadline_in_all(url: str) -> None:
    with closing(connect(url)) as connection:
        connection.settimeout(0.05)
        letters = iter(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        ended = False
        while not ended:
            try:
                connection.sendall(bytes([next(letters)]))
                ended = connection.recv(10) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True


def test_a_connection_is_kept_between_requests_and_then_ends(url: str) -> None:
    with closing(connect(url)) as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert status(one(connection)) == 200
        assert until_closed(connection) == b"", "idle"


def test_the_second_request_has_the_deadline_of_the_first(url: str) -> None:
    with closing(connect(url)) as connection:
        connection.sendall(GET)
        assert status(one(connection)) == 200
        connection.sendall(GET[:10])
        assert until_closed(connection) == b""


def test_silent_connections_make_room_for_those_that_ask() -> None:
    with served(APP, max_connections=20, header_seconds=60.0) as url:
        silent = [connect(url) for _ in range(200)]
        for _ in range(30):
            assert httpx.get(url).text == "hello"
        for connection in silent:
            connection.close()


def test_where_all_connections_are_at_work_a_further_one_is_told() -> None:
    with served(APP, max_connections=3) as url:
        at_work = [connect(url) for _ in range(3)]
        for connection in at_work:
            connection.sendall(GET.replace(b"/ ", b"/stay "))
            assert AT_WORK.acquire(timeout=20)
        said = exchange(url, GET)
        assert status(said) == 503
        assert said.endswith(b'{"error": "overloaded"}')
        at_work.pop().close()
        while not exchange(url, CLOSING).startswith(b"HTTP/1.1 200"):  # its end may not have been seen yet
            pass
        for connection in at_work:
            connection.close()


def at_work_from(url: str, source: str) -> socket.socket:
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=20, source_address=(source, 0))
    connection.sendall(GET.replace(b"/ ", b"/stay "))
    assert AT_WORK.acquire(timeout=20)
    return connection


def test_one_address_does_not_take_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)  # a test has no other addresses
    with served(APP, max_connections=8) as url:
        greedy = [at_work_from(url, "127.0.0.2") for _ in range(6)]
        with closing(socket.create_connection(greedy[0].getpeername(), source_address=("127.0.0.2", 0))) as one_more:
            one_more.sendall(GET)
            said = until_closed(one_more)
        assert status(said) == 503
        assert exchange(url, CLOSING).endswith(b"hello"), "others are served"
        for connection in greedy:
            connection.close()


def test_what_is_silent_makes_room_for_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    with served(APP, max_connections=8, header_seconds=60.0) as url:
        other = at_work_from(url, "127.0.0.2")
        silent = [connect(url) for _ in range(30)]
        assert exchange(url, CLOSING).endswith(b"hello")
        assert silent[0].recv(1) == b"", "the first of them has gone"
        for connection in (other, *silent):
            connection.close()


def test_loopback_may_take_all() -> None:
    with served(APP, max_connections=4) as url:
        at_work = [at_work_from(url, "127.0.0.1") for _ in range(4)]
        for connection in at_work:
            connection.close()


def test_broken_http_is_told_in_the_servers_form(url: str) -> None:
    for broken in (
        b"\x16\x03\x01\x02\x00\x01\xfc\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\0" * 20_000,
    ):
        answer = exchange(url, broken)
        assert status(answer) == 400
        assert answer.endswith(b'{"error": "malformed"}')


def test_a_body_in_crumbs_is_cut(url: str) -> None:
    """Each chunk costs the time of a request: a megabyte of one byte each kept everybody waiting for seconds."""
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    ends = b"0\r\n\r\n"
    with closing(connect(url)) as connection:
        for count, crumb in ((900, b"1\r\n \r\n"), (1020, b"40\r\n" + b" " * 64 + b"\r\n"), (900, b"1\r\n \r\n")):
            connection.sendall(head + b"\r\n" + crumb * count + ends)
            assert status(one(connection)) == 200
        connection.sendall(head + b"\r\n" + b"1\r\n \r\n" * 5000 + ends + CLOSING)
        answer = until_closed(connection)
    assert statuses(answer) == [400]


def test_the_limit_of_connections_stays_below_that_of_descriptors() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        "from afterbase.core.http.connections import affordable_connections;"
        "print(affordable_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for soft, hard in ((64, 128), (100, 400), (256, min(most, 4096))):
        command = [sys.executable, "-c", program.format(soft=soft, hard=hard)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        room, limit = map(int, told)
        assert limit == hard, "as many as it may have"
        assert 8 <= room <= limit - 56
