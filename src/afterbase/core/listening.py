"""Where a server of ours listens: a bound socket, and no door left open to others without a token."""

import ipaddress
import socket

from afterbase.core.errors import UserError


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
