"""`afterbase serve`: the socket first, then the model, then requests until Ctrl-C."""

import ipaddress
import json
import socket

import uvicorn

from afterbase.core.errors import UserError
from afterbase.core.store import folder_digest
from afterbase.model.load import find, load
from afterbase.rollout.app import create_app

_GRACE_SECONDS = 3  # what running requests get after Ctrl-C


def serve(model: str, *, host: str, port: int, token: str | None, max_rows: int, token_budget: int) -> None:
    """Serve a model folder or a shipped model; ends on Ctrl-C.

    Raises UserError for an unknown model, a port that cannot be had, and an open door: any other than a loopback
    address without a token.
    """
    folder = find(model)
    _refuse_open_door(host, token)
    listener = bind(host, port)
    with listener:
        lm = load(folder)
        name = folder.resolve().name
        app = create_app(
            lm, name=name, token=token, max_rows=max_rows, token_budget=token_budget, digest=folder_digest(folder)
        )
        print(_greeting(listener, name, token), flush=True)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="on"
        )
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:
            print("stopped")


def _refuse_open_door(host: str, token: str | None) -> None:
    if token == "":
        raise UserError(
            "a token has one character or more", got="an empty one", remedy="leave --token out, or give one"
        )
    if not _is_loopback(host) and token is None:
        raise UserError(
            "a server that others can reach wants a token of them",
            got=f"--host {host} without --token",
            remedy="add --token TOKEN (or set AFTERBASE_TOKEN), or serve on 127.0.0.1",
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


def _greeting(listener: socket.socket, name: str, token: str | None) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}/v1" if listener.family is socket.AF_INET6 else f"http://{host}:{port}/v1"
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
    bearer = " -H 'Authorization: Bearer TOKEN'" if token is not None else ""
    return (
        f"{name} at {url} (Ctrl-C ends it)\n\n"
        f"  curl {url}/chat/completions{bearer} -H 'Content-Type: application/json' \\\n    -d '{body}'\n"
    )
