"""Servers bind where they are told, and are not open to others without a token."""

import socket

import pytest

from afterbase.core.errors import UserError
from afterbase.core.listening import bind, refuse_open_door, url_of


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_an_open_door_is_refused(host: str) -> None:
    with pytest.raises(UserError, match="wants a token"):
        refuse_open_door(host, None)
    refuse_open_door(host, "sesame")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    refuse_open_door(host, None)
    with pytest.raises(UserError, match="one character or more"):
        refuse_open_door(host, "")


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no such host", 0), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_had_is_told(host, port):
    with pytest.raises(UserError, match="an address and a port"):
        bind(host, port)


def test_the_address_of_a_bound_socket_reaches_it() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with bind("::1", 0) as listener:
            assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"
