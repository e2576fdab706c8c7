"""The rollout server's requests over HTTP, for any sampler; nothing here is of vLLM or of afterbase.

    GET  /state                     what runs here, and the version and SHA-256 of the weights that it holds
    POST /update?version&sha256     body: the weights as one safetensors file; loaded in place once the sum is right
    POST /score                     {version, sha256, token_ids}: the log-probability of each token but the first
    POST /generate                  {version, sha256, prompts, rows: [[prompt, sample, seed]], temperature,
                                    max_new_tokens, stop_token_ids}: JSON lines, one a finished completion, `alive`
                                    while none is, `done` at the end
    POST /abort                     what runs ends with what it has

Requests are read by threads; the model works on the main thread alone, one after the other. A server that was just
started holds version null, and refuses to sample until it has been given weights. An error of the sampler's own ends
the process: clients hear of it by the broken connection.

Does not cover: TLS, several clients that train different models, and weights that do not fit on this disk beside the
model's own.
"""

import hashlib
import hmac
import json
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

PROTOCOL = 1
_ALIVE_SECONDS = 1.0
_PIECE = 1 << 22
_GENERATE = {"version", "sha256", "prompts", "rows", "temperature", "max_new_tokens", "stop_token_ids"}


class RefusedError(Exception):
    """A request that cannot be met: an HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.answer = {"error": why}


class Sampler(Protocol):
    """What the server needs of a model; tests bring a toy."""

    def describe(self) -> dict[str, Any]:
        """What runs here."""
        ...

    def load(self, folder: Path) -> None:
        """Take the weights of a folder with one safetensors file; RefusedError if they are not this model's."""
        ...

    def score(self, token_ids: list[int]) -> list[float]:
        """The natural log-probability of each token but the first, at temperature 1."""
        ...

    def rollout(self, request: dict[str, Any], aborted: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
        """Each completion as it ends, None after a step in which none did; RefusedError before the first, if at all."""
        ...


class Job:
    """A request on its way to the main thread, and the lines of its answer on their way back; None ends them."""

    def __init__(self, work: Callable[["Job"], None]) -> None:
        self._work = work
        self._lines: queue.SimpleQueue[dict[str, Any] | RefusedError | None] = queue.SimpleQueue()
        self.abort = threading.Event()

    def run(self) -> None:
        """On the main thread: do the work; a refusal is an answer, any other error ends the server."""
        try:
            self._work(self)
        except RefusedError as refusal:
            self._lines.put(refusal)
        finally:
            self._lines.put(None)

    def tell(self, line: dict[str, Any]) -> None:
        self._lines.put(line)

    def lines(self) -> Iterator[dict[str, Any]]:
        while (line := self._lines.get()) is not None:
            if isinstance(line, RefusedError):
                raise line
            yield line


class Server(ThreadingHTTPServer):
    """The requests' state. `serve` belongs on the main thread, `serve_forever` on another."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], sampler: Sampler, token: str | None = None) -> None:
        super().__init__(address, Handler)
        self.sampler = sampler
        self.token = token
        self.version: int | None = None
        self.checksum: str | None = None
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.running: Job | None = None

    def serve(self) -> None:
        """Work on one request after the other until None comes."""
        while (job := self.jobs.get()) is not None:
            self.running = job
            job.run()
            self.running = None

    def state(self) -> dict[str, Any]:
        held = {"version": self.version, "checksum": self.checksum}
        return {"protocol": PROTOCOL, **self.sampler.describe(), **held}

    def update(self, job: Job, folder: Path, version: int, checksum: str) -> None:
        """Load; should it fail, what is held is unknown, and nothing is sampled from it."""
        self.version = self.checksum = None
        self.sampler.load(folder)
        self.version, self.checksum = version, checksum
        job.tell({"version": version, "checksum": checksum})

    def score(self, job: Job, request: dict[str, Any]) -> None:
        self.refuse_other_weights(request)
        job.tell({"weight_version": self.version, "logps": self.sampler.score(request["token_ids"])})

    def generate(self, job: Job, request: dict[str, Any]) -> None:
        self.refuse_other_weights(request)
        told = -_ALIVE_SECONDS
        for ended in self.sampler.rollout(request, job.abort.is_set):
            if ended is not None:
                job.tell({**ended, "weight_version": self.version})
            elif time.monotonic() - told >= _ALIVE_SECONDS:
                told = time.monotonic()
                job.tell({"alive": True})
        job.tell({"done": True})

    def refuse_other_weights(self, request: dict[str, Any]) -> None:
        """Version and checksum: of two runs that share a server by mistake both may be at the same step."""
        if (request["version"], request["sha256"]) != (self.version, self.checksum):
            raise RefusedError(
                409, f"version {request['version']} is asked for, and version {self.version} is held, or other weights"
            )


class Handler(BaseHTTPRequestHandler):
    """One connection; runs in a thread of its own."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 600.0  # a client that stops in the middle of an upload

    def do_GET(self) -> None:
        self._answer({"/state": lambda _: self._whole(self.server.state())})

    def do_POST(self) -> None:
        self._answer(
            {"/update": self._update, "/score": self._score, "/generate": self._generate, "/abort": self._abort}
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for each request would bury what matters."""

    def _answer(self, routes: dict[str, Callable[[dict[str, str]], None]]) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            if self.server.token is not None:
                shown = self.headers.get("Authorization", "").removeprefix("Bearer ")
                if not hmac.compare_digest(shown.encode(), self.server.token.encode()):
                    raise RefusedError(401, "the token is missing or wrong")
            if url.path not in routes:
                raise RefusedError(404, f"no such request: {url.path}")
            routes[url.path](query)
        except RefusedError as refusal:
            self.close_connection = True  # what is left of the request's body is not read
            self._whole(refusal.answer, refusal.status)
        except ConnectionError:
            self.close_connection = True

    def _update(self, query: dict[str, str]) -> None:
        try:
            version, checksum = int(query["version"]), query["sha256"]
        except (KeyError, ValueError):
            raise RefusedError(400, "an update names `version`, a number, and `sha256`") from None
        with tempfile.TemporaryDirectory(prefix="afterbase-update-") as folder:
            received = self._receive(Path(folder) / "model.safetensors")
            if received != checksum:
                raise RefusedError(422, f"the weights that came have SHA-256 {received}, not {checksum}")
            self._first(lambda job: self.server.update(job, Path(folder), version, checksum))

    def _receive(self, path: Path) -> str:
        """Write the body into a file; returns its SHA-256."""
        digest, left = hashlib.sha256(), int(self.headers.get("Content-Length", 0))
        with path.open("wb") as file:
            while left and (piece := self.rfile.read(min(left, _PIECE))):
                digest.update(piece)
                file.write(piece)
                left -= len(piece)
        return digest.hexdigest()

    def _score(self, _: dict[str, str]) -> None:
        request = self._request({"version", "sha256", "token_ids"})
        self._first(lambda job: self.server.score(job, request))

    def _generate(self, _: dict[str, str]) -> None:
        request = self._request(_GENERATE)
        job = Job(lambda job: self.server.generate(job, request))
        self.server.jobs.put(job)
        lines = job.lines()
        line = _first_of(lines)  # a refusal comes first, or not at all
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/jsonl")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._chunk(line)
            for line in lines:
                self._chunk(line)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            job.abort.set()  # the client has gone
            raise

    def _abort(self, _: dict[str, str]) -> None:
        if (job := self.server.running) is not None:
            job.abort.set()
        self._whole({})

    def _first(self, work: Callable[[Job], None]) -> None:
        job = Job(work)
        self.server.jobs.put(job)
        self._whole(_first_of(job.lines()))

    def _request(self, names: set[str]) -> dict[str, Any]:
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        except ValueError:
            raise RefusedError(400, "the body is not JSON") from None
        if not isinstance(request, dict) or request.keys() != names:
            raise RefusedError(400, f"the body is an object of {sorted(names)}")
        return request

    def _whole(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _chunk(self, line: dict[str, Any]) -> None:
        text = json.dumps(line).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()


def _first_of(lines: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """The first line; ConnectionError if the main thread has nothing to say, since it is about to end."""
    if (line := next(lines, None)) is None:
        raise ConnectionError("the server is ending")
    return line
