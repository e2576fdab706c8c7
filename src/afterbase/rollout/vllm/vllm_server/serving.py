"""The rollout server's requests over HTTP, for any sampler; nothing here is of vLLM.

    GET  /state                     what runs here, and the version and SHA-256 of the weights that it holds
    POST /update?version&sha256     body: the weights as one safetensors file; loaded in place once the sum is right
    POST /score                     {version, sha256, token_ids}: the log-probability of each token but the first
    POST /generate                  {version, sha256, prompts, rows: [[prompt, sample, seed]], temperature,
                                    max_new_tokens, stop_token_ids}: JSON lines, one a finished completion, `alive`
                                    while none is, `done` at the end
    POST /abort                     what runs ends with what it has

`core/http/request_guard.py` checks who asks, from where and how much; `request_checks.py` what is asked. Requests are
read on the event loop; the model works on the main thread alone, one after the other, so an update never meets a
rollout. A server that was just started holds version null, and refuses to sample until it has been given weights. A
client that leaves takes its request along. An error of the sampler's own ends the process: clients hear of it by the
broken connection.

Runs in vLLM's environment, which has nothing of afterbase: the standard library, ASGI, and modules of `core` that are
made of these.

Does not cover: TLS, several clients that train different models, and weights that do not fit on this disk beside the
model's own.
"""

import asyncio
import contextlib
import hashlib
import json
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from afterbase.core.http.allowed_hosts import LOOPBACK, AllowedHosts
from afterbase.core.http.request_guard import Body, Guard, Receive, Refusal, Refused, RequestLimits, Scope, Send
from afterbase.core.temporary_folders import scratch_folder
from afterbase.rollout.vllm.vllm_server.request_checks import (
    Shape,
    error_body,
    generate_of,
    head_bytes,
    refuse_no_weights,
    score_of,
    update_of,
)

PROTOCOL = 1
_ALIVE_SECONDS = 1.0
_PIECE = 1 << 22
_MOST_WAITING = 64
_SPARE_BYTES = 256 << 20  # of the disk, beside what an update needs
_WEIGHTS = Body(max_bytes=1 << 42, kind="application/octet-stream", streamed=True)
_TEXTS = Body(max_bytes=64 << 20, max_values=1 << 24)
_TOTAL_SECONDS = 86_400.0


def render_refusal(refusal: Refusal) -> tuple[str, bytes]:
    """A refusal in this server's form."""
    return "application/json", error_body(refusal.rule, refusal.remedy, refusal.code)


class RefusedError(Refused):
    """What a sampler cannot meet: an HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(status, "refused", why, "see the server's own documentation")


class Sampler(Protocol):
    """What the server needs of a model; tests bring a toy."""

    def describe(self) -> dict[str, Any]:
        """What runs here; `vocabulary` and `context` are the model's, in tokens."""
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
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[dict[str, Any] | Refused | None] = asyncio.Queue()
        self.abort = threading.Event()

    def run(self) -> None:
        """On the main thread: do the work; a refusal is an answer, any other error ends the server."""
        try:
            if not self.abort.is_set():
                self._work(self)
        except Refused as refused:
            self._tell(refused)
        finally:
            self._tell(None)

    def tell(self, line: dict[str, Any]) -> None:
        self._tell(line)

    def _tell(self, line: dict[str, Any] | Refused | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        while (line := await self._lines.get()) is not None:
            if isinstance(line, Refused):
                raise line
            yield line


class Server:
    """The requests' state, and the application (`app`). `serve` belongs on the main thread, the loop on another."""

    def __init__(self, sampler: Sampler, token: str | None = None, *, names: AllowedHosts = LOOPBACK) -> None:
        self.sampler = sampler
        self.version: int | None = None
        self.checksum: str | None = None
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.running: Job | None = None
        self._described = sampler.describe()
        self._shape = Shape(vocabulary=self._described["vocabulary"], context=self._described["context"])
        self._receiving = False
        bodies = {"/update": _WEIGHTS, "/score": _TEXTS, "/generate": _TEXTS}
        limits = RequestLimits(
            render_refusal=render_refusal, names=names, token=token, bodies=bodies, total_seconds=_TOTAL_SECONDS
        )
        self.app = Guard(self._app, limits)

    # --- the main thread ------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Work on one request after the other until None comes."""
        while (job := self.jobs.get()) is not None:
            self.running = job
            job.run()
            self.running = None

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
        if self.version is None:
            raise Refused(409, "no_weights", "this server holds no weights yet", "send an update first")
        if (request["version"], request["sha256"]) != (self.version, self.checksum):
            raise Refused(
                409,
                "other_weights",
                f"version {request['version']} is asked for, and version {self.version} is held, or other weights",
                "send an update first",
            )

    # --- the event loop -------------------------------------------------------------------------------------------

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        methods: dict[str, tuple[str, Callable[[Scope, Receive, Send], Awaitable[None]]]] = {
            "/state": ("GET", self._state),
            "/update": ("POST", self._update),
            "/score": ("POST", self._score),
            "/generate": ("POST", self._generate),
            "/abort": ("POST", self._abort),
        }
        method, answer = methods.get(scope["path"], ("", None))
        if answer is None:
            raise Refused(404, "not_found", f"no such request: {scope['path'][:80]}", "see `GET /state`")
        if scope["method"] != method:
            raise Refused(405, "method_not_allowed", f"{scope['path']} is asked by {method}", "use that")
        await answer(scope, receive, send)

    async def _state(self, _: Scope, __: Receive, send: Send) -> None:
        held = {"version": self.version, "checksum": self.checksum}
        await _whole(send, {"protocol": PROTOCOL, **self._described, **held})

    async def _abort(self, _: Scope, __: Receive, send: Send) -> None:
        if (job := self.running) is not None:
            job.abort.set()
        await _whole(send, {})

    async def _update(self, scope: Scope, receive: Receive, send: Send) -> None:
        stated = dict(scope["headers"]).get(b"content-length")
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        length = None if chunked else int(stated or 0)
        version, checksum = update_of(scope["query_string"], length)
        assert length is not None
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if length > free - _SPARE_BYTES:
            rule = f"an update of {length:,} bytes fits on the server's disk, where {free:,} are free"
            raise Refused(507, "disk_full", rule, "free some space there, or name another folder in TMPDIR")
        if self._receiving:
            raise Refused(503, "overloaded", "the weights of another update are coming in", "try again later")
        with scratch_folder() as folder:
            file = folder / "model.safetensors"
            self._receiving = True
            try:
                received = await _receive(file, receive)
            finally:
                self._receiving = False
            if received is None:
                return  # the client left in the middle
            if received != checksum:
                rule = f"the weights that came have SHA-256 {received}, not {checksum}"
                raise Refused(422, "wrong_checksum", rule, "send them again")
            await asyncio.to_thread(_refuse_no_weights, file)
            await self._first(lambda job: self.update(job, folder, version, checksum), receive, send)

    async def _score(self, _: Scope, receive: Receive, send: Send) -> None:
        request = await asyncio.to_thread(score_of, (await receive())["body"], self._shape)
        await self._first(lambda job: self.score(job, request), receive, send)

    async def _generate(self, _: Scope, receive: Receive, send: Send) -> None:
        request = await asyncio.to_thread(generate_of, (await receive())["body"], self._shape)
        async with self._at_work(lambda job: self.generate(job, request), receive) as lines:
            line: dict[str, Any] | None = await _first_of(lines)  # a refusal comes first, or not at all
            headers = [(b"content-type", b"application/jsonl")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while line is not None:
                text = json.dumps(line).encode() + b"\n"
                await send({"type": "http.response.body", "body": text, "more_body": True})
                line = await anext(lines, None)
            await send({"type": "http.response.body", "body": b""})

    async def _first(self, work: Callable[[Job], None], receive: Receive, send: Send) -> None:
        async with self._at_work(work, receive) as lines:
            await _whole(send, await _first_of(lines))

    @contextlib.asynccontextmanager
    async def _at_work(
        self, work: Callable[[Job], None], receive: Receive
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The lines of a job that ends soon once its client is gone; on leaving, the main thread is done with it."""
        if self.jobs.qsize() >= _MOST_WAITING:
            raise Refused(503, "overloaded", f"{_MOST_WAITING} requests are waiting", "try again later")
        job = Job(work)
        self.jobs.put(job)
        lines, watching = job.lines(), asyncio.create_task(_abort_once_gone(receive, job))
        try:
            try:
                yield lines
            except Exception:
                job.abort.set()
                raise
            finally:
                if not _being_cancelled():  # else the process is about to end
                    await _drained(lines)
        finally:
            job.abort.set()
            watching.cancel()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _drained(lines: AsyncIterator[dict[str, Any]]) -> None:
    with contextlib.suppress(Refused):
        async for _ in lines:
            pass


async def _abort_once_gone(receive: Receive, job: Job) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    job.abort.set()


async def _receive(path: Path, receive: Receive) -> str | None:
    """Write the body into a file; its SHA-256, or None where its sender left in the middle."""
    digest, more, left = hashlib.sha256(), True, bytearray()
    with path.open("wb") as file:

        def keep(piece: bytes) -> None:
            digest.update(piece)
            file.write(piece)

        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            left += message.get("body", b"")
            more = message.get("more_body", False)
            if len(left) >= _PIECE or not more:
                await asyncio.to_thread(keep, bytes(left))
                left.clear()
    return digest.hexdigest()


def _refuse_no_weights(path: Path) -> None:
    with path.open("rb") as file:
        first = file.read(8)
        refuse_no_weights(first + file.read(head_bytes(first) - 8), path.stat().st_size)


async def _first_of(lines: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The first line; refused if the main thread has nothing to say, since it is about to end."""
    if (line := await anext(lines, None)) is None:
        raise Refused(503, "ending", "the server is ending", "start it again")
    return line


async def _whole(send: Send, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
