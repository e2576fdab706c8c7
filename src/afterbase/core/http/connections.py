"""The connections under a server: silent ones end, too many make room, and a last answer is read before the end.

uvicorn's own protocol (h11) waits for a request's headers as long as it may take, stops the whole server where the
descriptors run out, and closes a socket with bytes unread, which makes the kernel throw the answer away.
"""

import asyncio
import resource
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from afterbase.core.http.allowed_hosts import is_loopback
from afterbase.core.http.request_guard import Refusal, RenderRefusal

_MAX_DESCRIPTORS = 65_536
_MAX_CONNECTIONS = 4096
_SHARE = 0.75  # of the connections that one address may have
_HEAD_BYTES = 16 << 10
_FREE_CHUNKS, _LEAST_CHUNK = 1000, 64  # bytes on average, from so many chunks on


class Connections:
    """All connections of one server, at most `max_open`, and those that wait for headers, oldest first.

    One address has three quarters of them at most, loopback apart, where a proxy may stand for everybody.
    """

    def __init__(
        self, *, render_refusal: RenderRefusal, max_open: int, header_seconds: float, linger_seconds: float
    ) -> None:
        self.max_open = max_open
        self.header_seconds = header_seconds
        self.linger_seconds = linger_seconds
        self.open: set[GuardedConnection] = set()
        self.waiting: dict[GuardedConnection, None] = {}
        self._by_address: Counter[str] = Counter()
        self._render_refusal = render_refusal

    def enter(self, connection: "GuardedConnection") -> None:
        self.open.add(connection)
        self._by_address[connection.address] += 1

    def leave(self, connection: "GuardedConnection") -> None:
        """Also what has left before."""
        if connection in self.open:
            self.open.discard(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def too_many_of(self, address: str) -> bool:
        """Whether these alone are more than their share."""
        return not is_loopback(address) and self._by_address[address] > max(1, int(_SHARE * self.max_open))

    def raw(self, refusal: Refusal) -> bytes:
        """An answer as it is sent, for what no application sees."""
        kind, body = self._render_refusal(refusal)
        phrase = {400: "Bad Request", 503: "Service Unavailable"}[refusal.status]
        head = f"HTTP/1.1 {refusal.status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Connection: close\r\n\r\n".encode() + body


def affordable_connections() -> int:
    """As many connections as leave descriptors for all else, once this process may have as many as it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    descriptors = most if soft == resource.RLIM_INFINITY else soft
    return max(8, min(_MAX_CONNECTIONS, descriptors - max(64, descriptors // 4)))


class _LingeringTransport:
    """A transport whose `close` says goodbye first: no more is sent, and what still comes is dropped."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.closing = False

    def write(self, data: bytes) -> None:
        if not self.closing:
            self._transport.write(data)

    def close(self) -> None:
        if self.closing:
            return
        self.closing = True
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._wait_for_client(unsent=None)

    def _wait_for_client(self, *, unsent: int | None) -> None:
        """Until it ends its side; who takes nothing more meanwhile is cut off."""
        left = self._transport.get_write_buffer_size()
        if unsent is not None and not 0 < left < unsent:
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, lambda: self._wait_for_client(unsent=left))

    def lost(self) -> None:
        self.closing = True
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """Without waiting for anybody."""
        self.closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self.closing or self._transport.is_closing()

    def pause_reading(self) -> None:
        if not self.closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class _Parser(h11.Connection):
    """Takes a body in chunks, and none in crumbs: a chunk of a byte takes as much time as one of 64 kilobytes."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS and self._bytes < _LEAST_CHUNK * (self._chunks - 1):
                raise h11.RemoteProtocolError("chunks are too small")
        return event


class GuardedConnection(H11Protocol):
    """One connection."""

    def __init__(self, *, guarded_by: Connections, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self.conn = _Parser(h11.SERVER, self.config.h11_max_incomplete_event_size or _HEAD_BYTES)
        self._all = guarded_by
        self._headers_due: asyncio.TimerHandle | None = None

    # uvicorn's annotations ask for asyncio's own class; it uses what `_LingeringTransport` has.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._lingering = _LingeringTransport(transport, self._all.linger_seconds)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else "localhost"
        self._all.enter(self)
        if self._all.too_many_of(self.address):
            self._end_longest_wait(of=self.address)
        elif len(self._all.open) > self._all.max_open:
            self._end_longest_wait()
        if not self._lingering.closing:
            self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        self._stop_waiting()
        self._lingering.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingering.closing:
            return
        if self._headers_due is None and not self._busy():
            self._wait_for_headers()
        super().data_received(data)
        if self._busy() or self._lingering.closing:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._lingering.closing and not self._busy():
            self._all.waiting[self] = None

    def send_400_response(self, msg: str) -> None:
        """In the server's own form; an application that is at the request is told that its client is gone."""
        if self._busy():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            rule, remedy = (
                "this is not HTTP/1.1 as RFC 9112 has it",
                "use an HTTP client, and larger chunks",
            )
            self._lingering.write(self._all.raw(Refusal(status=400, code="malformed", rule=rule, remedy=remedy)))
        self._lingering.close()

    def shutdown(self) -> None:
        if self._busy():
            super().shutdown()
        else:
            self._lingering.end()

    def cut(self) -> None:
        """End the connection at once."""
        self._lingering.end()

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_headers(self) -> None:
        self._all.waiting.setdefault(self, None)
        self._headers_due = self.loop.call_later(self._all.header_seconds, self._lingering.close)

    def _stop_waiting(self) -> None:
        self._all.waiting.pop(self, None)
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _end_longest_wait(self, *, of: str | None = None) -> None:
        """The connection that has waited longest goes, of one address or of all; where all are at work, this one."""
        oldest = next((waiting for waiting in self._all.waiting if of in (None, waiting.address)), None)
        if oldest is not None:
            oldest.cut()
            oldest._stop_waiting()
            self._all.leave(oldest)
            return
        most = self._all.max_open if of is None else f"{_SHARE:.0%} of this server's {self._all.max_open}"
        rule, remedy = f"{most} connections are at work", "try again later"
        self._lingering.write(self._all.raw(Refusal(status=503, code="overloaded", rule=rule, remedy=remedy)))
        self._lingering.close()
