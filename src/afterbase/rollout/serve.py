"""`afterbase serve`: the socket first, then the model, then requests until Ctrl-C."""

import json
import socket

import uvicorn

from afterbase.core.errors import UserError
from afterbase.core.listen import bind, is_loopback
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
        app = create_app(lm, name=name, token=token, max_rows=max_rows, token_budget=token_budget)
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
    if not is_loopback(host) and token is None:
        raise UserError(
            "a server that others can reach wants a token of them",
            got=f"--host {host} without --token",
            remedy="add --token TOKEN (or set AFTERBASE_TOKEN), or serve on 127.0.0.1",
        )


def _greeting(listener: socket.socket, name: str, token: str | None) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}/v1" if listener.family is socket.AF_INET6 else f"http://{host}:{port}/v1"
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
    bearer = " -H 'Authorization: Bearer TOKEN'" if token is not None else ""
    return (
        f"{name} at {url} (Ctrl-C ends it)\n\n"
        f"  curl {url}/chat/completions{bearer} -H 'Content-Type: application/json' \\\n    -d '{body}'\n"
    )
