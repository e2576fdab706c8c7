"""A judge that gives log-probabilities: an endpoint as it is, a model of this machine served on loopback meanwhile."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from afterbase.core.http.http_server import bind, server, url_of
from afterbase.eval.benchmarks.subject import Subject, find_subject

_MAX_ROWS, _TOKEN_BUDGET = 64, 262_144


@contextmanager
def served_judge(spec: str, *, token_variable: str | None = None) -> Iterator[Subject]:
    """The judge of this URL, folder or shipped name, until the block ends. UserError as `find_subject`."""
    if re.match(r"https?://", spec):
        yield find_subject(spec, token_variable=token_variable)
        return
    from afterbase.core.store import folder_digest
    from afterbase.model.folders import find
    from afterbase.model.load import load
    from afterbase.rollout.server.app import create_app, render_refusal

    folder = find(spec)
    app = create_app(
        load(folder),
        name=folder.resolve().name,
        token=None,
        max_rows=_MAX_ROWS,
        token_budget=_TOKEN_BUDGET,
        digest=folder_digest(folder),
    )
    with bind("127.0.0.1", 0, token=None) as listener:
        listener.listen()
        serving = server(app, render_refusal=render_refusal)
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield find_subject(f"{url_of(listener)}/v1")
        finally:
            serving.should_exit = True
            thread.join()
