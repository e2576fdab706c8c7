"""Servers bind where they are told, and are not open to others without a token."""

import socket
import sys
from types import SimpleNamespace

import pytest

from afterbase.core.errors import UserError
from afterbase.core.http import http_server as listening
from afterbase.core.http.http_server import bind, run, url_of
from loopback import render_refusal


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(UserError, match="wants a token") as raised:
        bind(host, 0, token=None, remedy="give one")
    assert raised.value.remedy == "give one, or serve on 127.0.0.1"


def test_with_a_token_others_may_reach_it() -> None:
    with bind("0.0.0.0", 0, token="sesame") as listener:
        assert listener.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost"])
def test_loopback_needs_no_token_but_none_that_is_empty(host: str) -> None:
    bind(host, 0, token=None).close()
    with pytest.raises(UserError, match="one character or more"):
        bind(host, 0, token="")


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no such host", 0), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_had_is_told(host, port):
    with pytest.raises(UserError, match="an address and a port"):
        bind(host, port, token="sesame")


def test_the_address_of_a_bound_socket_reaches_it() -> None:
    with bind("127.0.0.1", 0, token=None) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with bind("::1", 0, token=None) as listener:
            assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_a_busy_thread_of_a_server_keeps_nobody_waiting_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", seen.append)
    monkeypatch.setattr(listening, "server", lambda *_, **__: SimpleNamespace(run=lambda sockets: seen.append(0.0)))
    with bind("127.0.0.1", 0, token=None) as listener:
        run(None, listener, render_refusal=render_refusal)
    interval, then = seen
    assert 0 < interval <= sys.getswitchinterval() / 5
    assert then == 0.0, "before the first request"
