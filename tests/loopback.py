"""A real HTTP server on the loopback interface, in a thread of the test, as the product runs it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from afterbase.core.http.http_server import server
from afterbase.core.http.request_guard import Refusal


def render_refusal(refusal: Refusal) -> tuple[str, bytes]:
    """A toy's form of refusals."""
    return "application/json", json.dumps({"error": refusal.code}).encode()


@contextmanager
def served(app: Any, **settings: Any) -> Iterator[str]:
    """The base URL of an ASGI application that runs until the block ends; `settings` are those of the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:  # listens from here on: nobody has to wait for it
        running = server(app, **{"render_refusal": render_refusal, "linger_seconds": 1.0, **settings})
        running.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()
