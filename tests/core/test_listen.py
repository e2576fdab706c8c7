import pytest

from afterbase.core.errors import UserError
from afterbase.core.listen import bind, is_loopback


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no such host", 0), ("192.0.2.1", 0)])
def test_an_address_that_cannot_be_had_is_told(host, port):
    with pytest.raises(UserError, match="an address and a port"):
        bind(host, port)


def test_port_0_takes_a_free_one():
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", 0) as second:
        assert first.getsockname()[1] != second.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("x.org", False),
    ],
)
def test_loopback(host, own):
    assert is_loopback(host) == own
