"""Where a server of ours listens."""

import ipaddress
import socket

from afterbase.core.errors import UserError


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach an address."""
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
