"""What every server of ours checks before an application sees a request: from where, by whom, and how much.

In this order: headers that contradict one another, the name in `Host` (a web page can make a name of its own resolve to
this machine: DNS rebinding), pages of other origins, the token, the kind of the body and its length. Nothing of a body
is read before all that, and a body is read at a least pace, up to its limit and no further. What is refused is said in
the server's own form, and the connection ends with it: the rest of a body is never taken for a request.

ASGI in the standard library alone: vLLM's interpreter, which has nothing of ours, runs it too. The connections below
(silent ones, too many of them) are `connections.py`.
"""

import asyncio
import hmac
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from afterbase.core.http.allowed_hosts import LOOPBACK, AllowedHosts
from afterbase.core.http.json_size import has_more_values
from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = "application/json"
_ONCE = (b"host", b"origin", b"authorization", b"content-length", b"content-type", b"transfer-encoding")
_SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing and have no body
_LENGTH_DIGITS = 18
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a request is not met: an HTTP status, a word for programs, and for people the rule and the remedy."""

    status: int
    code: str
    rule: str
    remedy: str


class Refused(Exception):  # noqa: N818  # an answer, no failure
    """A request that ends with a refusal; applications may raise it, too."""

    def __init__(self, status: int, code: str, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.refusal = Refusal(status=status, code=code, rule=rule, remedy=remedy)


RenderRefusal = Callable[[Refusal], tuple[str, bytes]]
"""A refusal in a server's own form: content type and body."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a path takes: a media type, and bytes at most; of JSON that comes whole, values at most (`json_size.py`).

    A streamed body is handed on as it comes, to an application that decides more before it reads; any other comes
    whole.
    """

    max_bytes: int
    max_values: int = 1 << 16
    kind: str = JSON
    streamed: bool = False


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What one server takes. `names` are those that it is served under; `bodies` go by path, `other` for the rest.

    Times are seconds: a body has `body_seconds` and what it takes at `min_rate` bytes a second, a client that does
    not read `write_seconds` for each piece, a request `total_seconds` in all. `max_held_bytes` bounds the bodies of
    all requests that are under way. Where there is no room for another one, that goes whose client keeps it waiting
    longest, if it is more than `min_wait_seconds`.
    """

    render_refusal: RenderRefusal
    names: AllowedHosts = LOOPBACK
    token: str | None = None
    without_token: frozenset[str] = frozenset()
    bodies: Mapping[str, Body] = field(default_factory=dict)
    other: Body = Body(max_bytes=1 << 16)
    headers: Mapping[str, str] = field(default_factory=lambda: {"X-Content-Type-Options": "nosniff"})
    max_requests: int = 256
    max_held_bytes: int = 256 << 20
    body_seconds: float = 30.0
    min_rate: float = 65_536.0
    write_seconds: float = 60.0
    min_wait_seconds: float = 1.0
    total_seconds: float = 3600.0


class Guard:
    """ASGI middleware: the application behind one server's rules."""

    def __init__(self, app: App, limits: RequestLimits) -> None:
        self.app = app
        self.limits = limits
        self.requests = 0
        self.held_bytes = 0
        self.waiting: dict[_Request, tuple[float, asyncio.Timeout]] = {}  # for their clients: since when, how long yet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Request(self, scope, receive, send).run()
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)

    def end_longest_wait(self, *, is_running: bool) -> bool:
        """End the request whose client has kept it waiting longest, of those at work or of those that are read."""
        now = asyncio.get_running_loop().time()
        found = [(since, wait) for request, (since, wait) in self.waiting.items() if request.is_running == is_running]
        since, wait = min(found, key=lambda one: one[0], default=(now, None))
        if wait is None or now - since < self.limits.min_wait_seconds:
            return False
        if not wait.expired():
            wait.reschedule(now)
        self.waiting = {request: pair for request, pair in self.waiting.items() if pair[1] is not wait}
        return True


class _ClientLeft(Exception):  # noqa: N818  # nobody is left to be told
    """The client has left, or takes nothing any more."""


class _Request:
    """One request on its way through."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard, self._limits = guard, guard.limits
        self._scope, self._receive, self._send = scope, receive, send
        self._started = self._ended = False  # the answer
        self._read_all = False
        self._held = 0
        self.is_running = False
        self._body = self._limits.bodies.get(scope["path"], self._limits.other)

    async def run(self) -> None:
        try:
            self._refuse_unfit()
            async with asyncio.timeout(self._limits.total_seconds) as total:
                await self._answered()
        except Refused as refused:
            await self._send_refusal(refused.refusal)
        except _ClientLeft:
            pass
        except asyncio.CancelledError:  # the server ends, and waits no longer
            await self._send_refusal(
                Refusal(status=503, code="ending", rule="the server is ending", remedy="start it again")
            )
        except Exception as error:
            if isinstance(error, TimeoutError) and total.expired():
                rule = f"a request is over within {self._limits.total_seconds:g} seconds"
                await self._send_refusal(Refusal(status=503, code="timeout", rule=rule, remedy="ask for less at once"))
            else:
                await self._send_fault()
        finally:
            self._guard.held_bytes -= self._held

    # --- before the body ------------------------------------------------------------------------------------------

    def _refuse_unfit(self) -> None:
        headers: dict[bytes, str] = {}
        for name, value in self._scope["headers"]:
            if name in headers and name in _ONCE:
                raise Refused(400, "malformed", f"a request has one {name.decode()} header", "send it once")
            headers[name] = value.decode("latin-1")
        length = _length(headers)
        if not self._scope["path"].startswith("/"):
            raise Refused(400, "malformed", "a request names a path of this server", "begin it with /")
        self._refuse_foreign(headers)
        path, token = self._scope["path"], self._limits.token
        if path not in self._limits.without_token and not is_authorized(headers.get(b"authorization", ""), token):
            raise Refused(
                401, "invalid_api_key", "this server wants its token", "send the header Authorization: Bearer TOKEN"
            )
        if length != 0:
            self._refuse_body(headers, length)

    def _refuse_foreign(self, headers: Mapping[bytes, str]) -> None:
        host = headers.get(b"host", "")
        if not self._limits.names.include(host):
            raise Refused(
                421,
                "unknown_host",
                f"this server is not known as `{host[:80]}`",
                "use the address that it printed, or start it with --name and that name",
            )
        if self._scope["method"] in _SAFE:
            return
        origin = headers.get(b"origin")
        own = origin is None or origin.partition("://")[2].lower() == host.lower()
        if not own or headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(
                403, "foreign_origin", "a request that changes or costs comes from no other web page", "ask directly"
            )

    def _refuse_body(self, headers: Mapping[bytes, str], length: int | None) -> None:
        if self._scope["method"] in _SAFE:
            raise Refused(413, "too_large", f"{self._scope['method']} has no body", "leave it out")
        if headers.get(b"content-encoding", "identity").lower() != "identity":
            raise Refused(415, "unsupported_media_type", "a body is not compressed", "leave out Content-Encoding")
        kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
        if kind != self._body.kind and not (self._body.kind == JSON and kind.endswith("+json")):
            raise Refused(
                415,
                "unsupported_media_type",
                f"the body of this request is {self._body.kind}, not `{kind[:80]}`",
                f"send the header Content-Type: {self._body.kind}",
            )
        if length is not None and length > self._body.max_bytes:
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(
            413, "too_large", f"this request has {self._body.max_bytes:,} bytes at most", "send less at once"
        )

    # --- the body -------------------------------------------------------------------------------------------------

    async def _answered(self) -> None:
        started, received, whole = asyncio.get_running_loop().time(), 0, bytearray()

        async def piece() -> Message:
            """The next piece, at the least pace or sooner; the client's end once all has come."""
            nonlocal received
            if self._read_all:
                return await self._receive()
            try:
                due = started + self._limits.body_seconds + received / self._limits.min_rate
                async with asyncio.timeout_at(due) as wait:
                    message = await self._waited_for(self._receive(), started, wait)
            except TimeoutError:
                raise Refused(
                    408,
                    "timeout",
                    f"a body comes at {self._limits.min_rate:g} bytes a second at least",
                    "send it sooner",
                ) from None
            received += len(message.get("body", b""))
            if received > self._body.max_bytes:
                raise self._too_large()
            self._read_all = message["type"] == "http.request" and not message.get("more_body", False)
            return message

        if self._body.streamed:
            return await self._run_app(piece)
        while not self._read_all:
            message = await piece()
            if message["type"] == "http.disconnect":
                raise _ClientLeft
            whole += message.get("body", b"")
            self._count_held(len(message.get("body", b"")))
        most = self._body.max_values
        if self._body.kind == JSON and len(whole) > most and await asyncio.to_thread(has_more_values, whole, most):
            rule = f"this request has {most:,} values, lists and objects at most"
            raise Refused(413, "too_large", rule, "send less at once")
        first = [{"type": "http.request", "body": bytes(whole), "more_body": False}]
        whole.clear()

        async def receive() -> Message:
            return first.pop() if first else await self._receive()

        await self._run_app(receive)

    async def _run_app(self, receive: Receive) -> None:
        """The application's turn: what is known by now is worth its time, if there is room."""
        if self._guard.requests >= self._limits.max_requests and not self._guard.end_longest_wait(is_running=True):
            raise Refused(503, "overloaded", f"{self._limits.max_requests} requests are under way", "try again later")
        self._guard.requests += 1
        self.is_running = True
        try:
            await self._guard.app(self._scope, receive, self._answer)
        finally:
            self._guard.requests -= 1

    def _count_held(self, count: int) -> None:
        self._held += count
        self._guard.held_bytes += count
        if self._guard.held_bytes > self._limits.max_held_bytes and not self._guard.end_longest_wait(is_running=False):
            raise Refused(503, "overloaded", "the bodies of other requests fill this server's room", "try again later")

    # --- the answer -----------------------------------------------------------------------------------------------

    async def _answer(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            sent = {name.lower() for name, _ in message.get("headers", [])}
            ours = [(n.lower().encode(), v.encode()) for n, v in self._limits.headers.items()]
            more = [header for header in ours if header[0] not in sent]
            if not self._read_all and not self._bodiless() and b"connection" not in sent:
                more.append((b"connection", b"close"))  # what is left of the body is no request
            message = {**message, "headers": [*message.get("headers", []), *more]}
        elif message["type"] == "http.response.body":
            self._ended = not message.get("more_body", False)
        try:
            async with asyncio.timeout(self._limits.write_seconds) as wait:
                await self._waited_for(self._send(message), asyncio.get_running_loop().time(), wait)
        except TimeoutError:
            raise _ClientLeft from None

    async def _waited_for(self, work: Awaitable[T], since: float, wait: asyncio.Timeout) -> T:
        """What its client does, for which it may be ended before its time (`Guard.end_longest_wait`)."""
        self._guard.waiting[self] = since, wait
        try:
            return await work
        finally:
            self._guard.waiting.pop(self, None)

    def _bodiless(self) -> bool:
        names = {name for name, _ in self._scope["headers"]}
        return b"transfer-encoding" not in names and b"content-length" not in names

    async def _send_fault(self) -> None:
        """To call in an `except`: our own fault, told with its trace to whoever runs the server, and to nobody else."""
        told = f"{self._scope['method']} {self._scope['path']}\n{traceback.format_exc()}"
        _log.error("%s", sanitized(masked(told)))
        await self._send_refusal(
            Refusal(status=500, code="internal_error", rule="this server failed at the request", remedy="see its log")
        )

    async def _send_refusal(self, refusal: Refusal) -> None:
        """The refusal, where no answer has begun; else the answer stays without an end, which closes the connection."""
        if self._started:
            return
        kind, body = self._limits.render_refusal(refusal)
        headers = {"content-type": kind, "content-length": str(len(body)), "connection": "close"}
        if refusal.status == 401:
            headers["www-authenticate"] = "Bearer"
        if refusal.status == 503:
            headers["retry-after"] = "1"
        start = {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        try:
            await self._answer(start)
            await self._answer({"type": "http.response.body", "body": body})
        except _ClientLeft:
            pass


def is_authorized(authorization: str, token: str | None) -> bool:
    """Whether a request's `Authorization` header bears the token; without one, all do."""
    scheme, _, given = authorization.partition(" ")
    return token is None or (scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode()))


def _length(headers: Mapping[bytes, str]) -> int | None:
    """Bytes of the body; None for one in chunks, whose length comes with it."""
    stated = headers.get(b"content-length")
    if b"transfer-encoding" in headers:
        if stated is not None or headers[b"transfer-encoding"].lower() != "chunked":
            raise Refused(400, "malformed", "a body has one length", "send Content-Length, or chunks")
        return None
    if stated is None:
        return 0
    if not (stated.isascii() and stated.isdigit() and len(stated) <= _LENGTH_DIGITS):
        raise Refused(400, "malformed", "Content-Length is a number of bytes", "send it right, or chunks")
    return int(stated)
