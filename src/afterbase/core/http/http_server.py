"""What all servers of ours share: a bound socket, closed to other machines without a token, and an end by Ctrl-C."""

import functools
import gc
import socket
import sys
from typing import TYPE_CHECKING, Any

from afterbase.core.errors import UserError
from afterbase.core.http.allowed_hosts import is_loopback
from afterbase.core.http.request_guard import RenderRefusal

if TYPE_CHECKING:
    import uvicorn

_GRACE_SECONDS = 3  # what running requests get after Ctrl-C
_HEADER_BYTES = 16 << 10
_SWITCH_SECONDS = 0.0005
_ADD_TOKEN = "add --token TOKEN (or set the variable that --help names)"

TOKEN_OF_EACH_CLIENT = "each client has its own"  # for `bind`, where an application knows its clients apart


def bind(host: str, port: int, *, token: str | None, remedy: str = _ADD_TOKEN) -> socket.socket:
    """A bound socket, not listening yet; port 0 takes a free one. `token` is what clients must send.

    Raises UserError where the address is not available, for any but a loopback address without a token (`remedy` says
    how to give one), and for an empty token.
    """
    if token == "":
        raise UserError(
            "a token has one character or more", got="an empty one", remedy="leave --token out, or give one"
        )
    if not is_loopback(host) and token is None:
        raise UserError(
            "a server that others can reach wants a token of them",
            got=f"--host {host} without a token",
            remedy=f"{remedy}, or serve on 127.0.0.1",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            "a server needs an address and a port of its own",
            got=f"{host}, port {port}: {error}",
            remedy="choose another with --port or --host, or end what listens there",
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a bound socket, as a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family is socket.AF_INET6 else f"http://{host}:{port}"


def server(
    app: Any,
    *,
    render_refusal: RenderRefusal,
    max_connections: int | None = None,
    header_seconds: float = 10.0,
    idle_seconds: int = 30,
    linger_seconds: float = 2.0,
) -> "uvicorn.Server":
    """uvicorn before an ASGI application, with an end to connections that send nothing, and to too many.

    `render_refusal` says in the server's form what no application sees. A request's headers come within
    `header_seconds`, the next request within `idle_seconds`; after a last answer a client has `linger_seconds` to read
    it.
    """
    import uvicorn

    from afterbase.core.http.connections import Connections, GuardedConnection, affordable_connections

    connections = Connections(
        render_refusal=render_refusal,
        max_open=max_connections or affordable_connections(),
        header_seconds=header_seconds,
        linger_seconds=linger_seconds,
    )
    config = uvicorn.Config(
        app,
        http=functools.partial(GuardedConnection, guarded_by=connections),  # type: ignore[arg-type]  # is called as a class is
        ws="none",
        log_level="error",  # a line for each broken request would bury what matters
        access_log=False,
        server_header=False,
        timeout_keep_alive=idle_seconds,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    return uvicorn.Server(config)


def run(app: Any, listener: socket.socket, *, render_refusal: RenderRefusal, goodbye: str = "stopped") -> None:
    """Serve an ASGI application until Ctrl-C."""
    # What a server is made of lives as long as it does: looked through again and again while a large body becomes a
    # million lists, it took two thirds of that time.
    gc.collect()
    gc.freeze()
    # Each operation of a model gives the interpreter's lock away and waits to have it back: by default five
    # milliseconds beside a busy thread, and a step has hundreds.
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        server(app, render_refusal=render_refusal).run(sockets=[listener])
    except KeyboardInterrupt:
        print(goodbye)
