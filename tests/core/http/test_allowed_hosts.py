"""Which `Host` headers name a server, on loopback and beyond."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.http.allowed_hosts import LOOPBACK, allowed_hosts, is_loopback

OWN = ["localhost", "localhost:8000", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.1:1", "127.8.8.8", "[::1]:80"]
FOREIGN = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil"]
NONE = ["", " ", ":", "a b", "localhost:", "localhost:port", "[::1", "::1", "localhost:8000:8000", "127.0.0.1/x"]


@pytest.mark.parametrize("host", OWN)
def test_loopback_is_known_by_its_own_names(host: str) -> None:
    assert LOOPBACK.include(host)
    assert allowed_hosts("127.0.0.1").include(host)
    assert allowed_hosts("0.0.0.0").include(host)


@pytest.mark.parametrize("host", [*FOREIGN, *NONE])
def test_names_of_others_are_not_ours(host: str) -> None:
    assert not LOOPBACK.include(host)
    assert not allowed_hosts("0.0.0.0").include(host)


def test_beyond_loopback_addresses_and_the_machines_name_are_known() -> None:
    assert not allowed_hosts("127.0.0.1").include("192.0.2.7"), "a page there is no page of this machine"
    beyond = allowed_hosts("0.0.0.0", ["Review.Example"])
    for host in ("192.0.2.7", "[2001:db8::1]:8000", socket.gethostname(), "review.example", "REVIEW.example:443"):
        assert beyond.include(host)
    assert allowed_hosts("models.example").include("models.example:8000")


@given(st.text(max_size=60))
def test_no_other_text_names_this_machine(host: str) -> None:
    name = host.rpartition(":")[0] or host
    mine = name.lower().strip(".") == "localhost" or is_loopback(name.strip("[]"))
    assert not LOOPBACK.include(host) or mine or is_loopback(host)
