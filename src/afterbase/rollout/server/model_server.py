"""`afterbase serve`: the socket first, then the model, then requests until Ctrl-C."""

import json
import socket
from collections.abc import Sequence

from afterbase.core.http.allowed_hosts import allowed_hosts
from afterbase.core.http.http_server import bind, run, url_of
from afterbase.core.sanitize import sanitized
from afterbase.core.store import folder_digest
from afterbase.model.folders import find
from afterbase.model.load import load
from afterbase.rollout.server.app import create_app, render_refusal


def serve(
    model: str,
    *,
    host: str,
    port: int,
    token: str | None,
    max_rows: int,
    token_budget: int,
    names: Sequence[str] = (),
) -> None:
    """Serve a model folder or a shipped model; ends on Ctrl-C. `names` are further ones that clients reach it under.

    Raises UserError for an unknown model, a port that cannot be had, and any other than a loopback address without a
    token.
    """
    folder = find(model)
    with bind(host, port, token=token) as listener:
        lm = load(folder)
        name = folder.resolve().name
        app = create_app(
            lm,
            name=name,
            token=token,
            max_rows=max_rows,
            token_budget=token_budget,
            digest=folder_digest(folder),
            names=allowed_hosts(host, names),
        )
        listener.listen()  # whoever asks at once is kept waiting, not turned away
        print(sanitized(_greeting(listener, name, token)), flush=True)
        run(app, listener, render_refusal=render_refusal)


def _greeting(listener: socket.socket, name: str, token: str | None) -> str:
    url = f"{url_of(listener)}/v1"
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is 17 + 25?"}]})
    bearer = " -H 'Authorization: Bearer TOKEN'" if token is not None else ""
    return (
        f"{name} at {url} (Ctrl-C ends it)\n\n"
        f"  curl {url}/chat/completions{bearer} -H 'Content-Type: application/json' \\\n    -d '{body}'\n"
    )
