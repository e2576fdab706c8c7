"""What all servers of ours share: a bound socket, no door open to others without a token, and an end by Ctrl-C."""

import hmac
import ipaddress
import socket
from typing import Any

from afterbase.core.errors import UserError

_GRACE_SECONDS = 3  # what running requests get after Ctrl-C


def refuse_open_door(host: str, token: str | None) -> None:
    """UserError for any other than a loopback address without a token, and for an empty token."""
    if token == "":
        raise UserError(
            "a token has one character or more", got="an empty one", remedy="leave --token out, or give one"
        )
    if not _is_loopback(host) and token is None:
        raise UserError(
            "a server that others can reach wants a token of them",
            got=f"--host {host} without --token",
            remedy="add --token TOKEN (or set the variable that --help names), or serve on 127.0.0.1",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not listening yet; port 0 takes a free one. Raises UserError where it is not to be had."""
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


def bears(authorization: str, token: str | None) -> bool:
    """Whether a request's `Authorization` header bears the token; without one, all do."""
    scheme, _, given = authorization.partition(" ")
    return token is None or (scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode()))


def run(app: Any, listener: socket.socket, *, goodbye: str = "stopped") -> None:
    """Serve an ASGI application until Ctrl-C."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        print(goodbye)
