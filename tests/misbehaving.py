"""An HTTP server that answers as it is told to, down to the bytes: late, wrong, cut short, or not at all."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

RESET = b"reset"  # instead of an answer: the connection is reset
HANG = b"hang"  # nothing, until the server ends


def reply(status: int, body: Any, *, headers: Sequence[str] = (), missing: int = 0) -> bytes:
    """An HTTP response, `missing` bytes short of the length that it announces."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(payload) + missing}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + payload


def completion(text: str | None, **message: Any) -> dict[str, Any]:
    """A chat completion of one choice."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}}


class Server:
    """`answer` turns the body of each request into the bytes of a response; `requests` are those that came."""

    def __init__(self, listener: socket.socket, answer: Callable[[dict[str, Any]], bytes]) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        self.requests: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self._listener = listener
        self._answer = answer
        self.over = threading.Event()

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.over.is_set():
                connection.close()
                return
            threading.Thread(target=self._serve, args=(connection,)).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            head = b"".join(iter(lambda: stream.readline().replace(b"\r\n", b"\n"), b"\n")).decode()
            lengths = [int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line]
            body = json.loads(stream.read(lengths[0])) if lengths else {}
            self.heads.append(head)
            self.requests.append(body)
            response = self._answer(body)
            if response == HANG:
                self.over.wait()
            elif response == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.sendall(response)


@contextmanager
def answering(answer: Callable[[dict[str, Any]], bytes]) -> Iterator[Server]:
    """A server until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener, answer)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join()
