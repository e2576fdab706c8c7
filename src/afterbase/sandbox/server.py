"""A machine's sandboxes over HTTP: whole programs and function calls in, verdicts and results out (`remote.py`).

One request is one program. The clients, known by their address, share the workers in turn, however much each asks at
once. Work is bounded before it is begun, and ends when its client leaves: a whole program is killed, a call has a few
seconds in any case. Nothing is kept.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from starlette.exceptions import HTTPException

from afterbase.core.errors import UserError
from afterbase.core.faults import first_fault
from afterbase.core.http.allowed_hosts import LOOPBACK, AllowedHosts, allowed_hosts
from afterbase.core.http.fair_semaphore import FairSemaphore
from afterbase.core.http.http_server import bind, run, url_of
from afterbase.core.http.request_guard import Body, Guard, Refusal, Refused, RequestLimits
from afterbase.sandbox.isolation import find_confinement
from afterbase.sandbox.programs import Case, CaseRow, Program, ProgramRunner, worker_count
from afterbase.sandbox.python_calls import CallRunner, Reason, Run, RunResult, missing_isolation
from afterbase.sandbox.remote import PROTOCOL, TOKEN, URL

_PROGRAMS_BYTES = 64 << 20  # tests are long texts
_PROGRAMS_VALUES = 1 << 14
_CALLS_BYTES = 8 << 20  # any JSON, which takes ten times as much memory once it is read
_CALLS_VALUES = 1 << 18
_PROGRAM_LETTERS = 1 << 20
_MOST_TESTS = 2000
_TEST_LETTERS = 32 << 20
_TOTAL_SECONDS = 1800.0
_MOST_WAITING = 1024
T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)


class Programs(BaseModel):
    """A program in one of eight languages, and its tests."""

    model_config = ConfigDict(strict=True)
    language: Annotated[str, Field(max_length=80)]
    program: str
    tests: Annotated[list[CaseRow], Field(min_length=1), FailFast()]
    scoring: Literal["all", "fraction"] = "all"

    def refuse_large(self) -> None:
        _refuse("a program has", len(self.program), _PROGRAM_LETTERS, "characters")
        _refuse("a program has", len(self.tests), _MOST_TESTS, "tests")
        longest = max(len(text) for test in self.tests for text in (test.stdin, test.stdout))
        _refuse("a test has", longest, _TEST_LETTERS, "characters, to read and to print each")


class Calls(BaseModel):
    """Python that defines a function, and the arguments of each call of it."""

    model_config = ConfigDict(strict=True)
    program: str
    function: str
    calls: Annotated[list[list[Any]], FailFast()]

    def refuse_large(self) -> None:
        _refuse("a program has", len(self.program), _PROGRAM_LETTERS, "characters")
        _refuse("a function is called", len(self.calls), _MOST_TESTS, "times")


def _refuse(rule: str, got: int, most: int, what: str) -> None:
    if got > most:
        raise Refused(413, "too_large", f"{rule} {most:,} {what} at most", f"these are {got:,}")


def create_app(
    runner: ProgramRunner, sandbox: CallRunner, *, token: str | None, names: AllowedHosts = LOOPBACK
) -> FastAPI:
    """The application; `token` is what clients have to bear, `names` what the server is known as."""
    work_of = _WorkInTurn(worker_count())  # more programs at once would only make each other late
    limits = RequestLimits(
        render_refusal=render_refusal,
        names=names,
        token=token,
        bodies={
            "/programs": Body(max_bytes=_PROGRAMS_BYTES, max_values=_PROGRAMS_VALUES),
            "/calls": Body(max_bytes=_CALLS_BYTES, max_values=_CALLS_VALUES),
        },
        max_requests=4 * _MOST_WAITING,
        total_seconds=_TOTAL_SECONDS,
    )
    app = FastAPI(title="afterbase sandbox", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, limits=limits)  # type: ignore[arg-type]  # ASGI's types are written in several ways
    app.add_exception_handler(UserError, _refuse_request)
    app.add_exception_handler(HTTPException, _refuse_path)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"sandbox": PROTOCOL, "walls": runner.confinement.name}

    @app.post("/programs")
    async def programs(request: Request) -> dict[str, Any]:
        wanted = await _read(request, Programs)
        wanted.refuse_large()
        asked = [Program(wanted.language, wanted.program, [Case(test.stdin, test.stdout) for test in wanted.tests])]

        def work(left: threading.Event) -> dict[str, Any]:
            (verdict,) = runner.verdicts(asked, scoring=wanted.scoring, unwanted=left.is_set)
            return {"status": str(verdict.status), "value": verdict.value, "reason": verdict.reason}

        return await work_of.client(request, work)

    @app.post("/calls")
    async def calls(request: Request) -> Response:
        wanted = await _read(request, Calls)
        wanted.refuse_large()
        asked = [Run(program=wanted.program, function=wanted.function, calls=wanted.calls)]

        def work(_: threading.Event) -> str:
            (result,) = sandbox.run_many(asked)
            return _text_of(result)

        return Response(await work_of.client(request, work), media_type="application/json")

    return app


class _WorkInTurn:
    """What is done for clients: so many pieces at once, each client's in its turn."""

    def __init__(self, count: int) -> None:
        self._turns = FairSemaphore(count, max_waiting=_MOST_WAITING)
        self._threads = ThreadPoolExecutor(count)

    async def client(self, request: Request, work: Callable[[threading.Event], T]) -> T:
        """What comes of the work once it is the client's turn; nothing is begun for one that has left."""
        left, begun = threading.Event(), False

        async def turn() -> T:
            nonlocal begun
            async with self._turns.turn(request.client.host if request.client else ""):
                begun = True
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, left)

        working = asyncio.ensure_future(turn())
        leaving = asyncio.ensure_future(_has_left(request))
        try:
            await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not begun:
                working.cancel()
            if not working.done():
                left.set()
                raise Refused(499, "gone", "the client has left", "ask again")
            return working.result()
        finally:
            left.set()
            leaving.cancel()


async def _refuse_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    return JSONResponse({"error": {"rule": error.rule, "got": error.got, "remedy": error.remedy}}, status_code=400)


async def _refuse_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    rule, remedy = f"{request.method} {request.url.path[:200]}: {error.detail}", "see docs/sandbox.md"
    kind, body = render_refusal(Refusal(status=error.status_code, code="not_found", rule=rule, remedy=remedy))
    return Response(body, error.status_code, media_type=kind)


def _text_of(result: RunResult) -> str:
    """Results as the client has them where it runs calls itself: any JSON that Python writes, NaN and half a surrogate
    pair among it."""
    try:
        return json.dumps({"reason": str(result.reason), "results": result.results})
    except RecursionError:
        return json.dumps({"reason": str(Reason.NOT_JSON), "results": []})


async def _read(request: Request, kind: type[B]) -> B:
    body = await request.body()
    try:
        return await asyncio.to_thread(lambda: kind.model_validate(json.loads(body)))
    except (ValueError, RecursionError) as error:
        if not isinstance(error, ValidationError):
            raise Refused(422, "invalid_request", "the body is no JSON", "see docs/sandbox.md") from None
        place, fault = first_fault(error)
        raise Refused(422, "invalid_request", f"{place or 'the body'}: {fault}", "see docs/sandbox.md") from None


async def _has_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def render_refusal(refusal: Refusal) -> tuple[str, bytes]:
    """What is refused before a request is read, in this server's form."""
    remedy = f"set {TOKEN} to the one it started with" if refusal.status == 401 else refusal.remedy
    got = f"HTTP {refusal.status} ({refusal.code})"
    return "application/json", json.dumps({"error": {"rule": refusal.rule, "got": got, "remedy": remedy}}).encode()


def serve(*, host: str, port: int, token: str | None, names: Sequence[str] = ()) -> None:
    """Serve this machine's sandboxes until Ctrl-C; `names` are further ones that clients reach it under.

    Raises UserError for an address that others can reach without a token, a port that is not available, and where
    programs cannot be isolated.
    """
    with bind(host, port, token=token) as listener:
        runner = ProgramRunner(confinement=find_confinement(unsafe=False), workers=1)
        missing = missing_isolation()
        if missing is not None:
            raise UserError("programs are run in isolation or not at all", got=missing, remedy="use another machine")
        with CallRunner(workers=worker_count()) as sandbox:
            app = create_app(runner, sandbox, token=token, names=allowed_hosts(host, names))
            listener.listen()  # whoever asks at once is kept waiting, not turned away
            print(f"sandbox ({runner.confinement.name}) at {url_of(listener)} (Ctrl-C ends it)\n", flush=True)
            print(f"  {URL}={url_of(listener)} afterbase verify code FILE", flush=True)
            run(app, listener, render_refusal=render_refusal)
