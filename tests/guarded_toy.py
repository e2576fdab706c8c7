"""A toy application behind the guard of requests, and requests to it."""

import threading
from typing import Any

import httpx

from afterbase.core.http.request_guard import (
    Body,
    Guard,
    Message,
    Receive,
    Refused,
    RequestLimits,
    Scope,
    Send,
)
from loopback import render_refusal

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


def post(url: str, path: str = "/take", **settings: Any) -> httpx.Response:
    headers = {**SESAME, "Content-Type": "application/json", **settings.pop("headers", {})}
    return httpx.post(url + path, headers=headers, **{"content": b"{}", **settings})
