"""The names that a server is served under: what a request's `Host` header may say."""

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class AllowedHosts:
    """Names, and addresses: those of this machine alone, or all, since no page can make an address of its own."""

    names: frozenset[str]
    any_address: bool

    def include(self, host: str) -> bool:
        """Whether a `Host` header names this server, at any port: tunnels and proxies have ports of their own."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().removesuffix(".")
        if name in self.names:
            return True
        address = _address(name)
        return address is not None and (self.any_address or address.is_loopback)


LOOPBACK = AllowedHosts(names=frozenset({"localhost"}), any_address=False)


def allowed_hosts(host: str, more: Iterable[str] = ()) -> AllowedHosts:
    """What a server that listens at `host` is called: on loopback `localhost`, beyond it also as the machine is."""
    names = {"localhost", *(name.lower().removesuffix(".") for name in more)}
    if is_loopback(host):
        return AllowedHosts(names=frozenset(names), any_address=False)
    own = socket.gethostname().lower()
    return AllowedHosts(names=frozenset({*names, host.lower(), own, own.partition(".")[0]}), any_address=True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address or a name."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None
