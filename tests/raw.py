"""HTTP by hand: what no client sends, over a real socket."""

import socket
from contextlib import closing
from urllib.parse import urlsplit


def connect(url: str, *, timeout: float = 20.0) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 80), timeout=timeout)


def until_closed(connection: socket.socket) -> bytes:
    """All that the server says until it closes, or throws the connection away."""
    said = bytearray()
    try:
        while piece := connection.recv(1 << 16):
            said += piece
    except ConnectionError:
        pass
    return bytes(said)


def exchange(url: str, request: bytes) -> bytes:
    """Send, and read until the server closes."""
    with closing(connect(url)) as connection:
        connection.sendall(request)
        return until_closed(connection)


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer.split(b" ", 2)[1])


def statuses(answer: bytes) -> list[int]:
    """One for each answer on the connection."""
    return [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]
