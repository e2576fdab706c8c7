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


def one(connection: socket.socket) -> bytes:
    """One answer of a stated length, on a connection that stays."""
    said = bytearray()
    while b"\r\n\r\n" not in said:
        said += connection.recv(1 << 16)
    head, _, body = bytes(said).partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


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
