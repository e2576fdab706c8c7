"""A machine's sandboxes over HTTP: whole programs and function calls in, verdicts and results out (`remote.py`).

One request is one program, so that many machines' requests share the workers in turn. Nothing is kept.
"""

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from afterbase.core.errors import UserError
from afterbase.core.guard import Body, Guard, Refusal, Rules
from afterbase.core.listening import bind, refuse_open_door, run, url_of
from afterbase.core.names import LOOPBACK, Names, names_of
from afterbase.verify.isolation import jail_or_nothing
from afterbase.verify.program_cases import CaseRow, workers
from afterbase.verify.programs import Case, Judge, Program
from afterbase.verify.remote import PROTOCOL, TOKEN, URL
from afterbase.verify.sandbox import Run, Sandbox, available

_PROGRAMS_BYTES = 64 << 20  # tests are long texts
_CALLS_BYTES = 8 << 20  # any JSON, which takes ten times as much memory once it is read
_TOTAL_SECONDS = 900.0


class Programs(BaseModel):
    """A program in one of eight languages, and its tests."""

    model_config = ConfigDict(strict=True)
    language: str
    program: str
    tests: Annotated[list[CaseRow], Field(min_length=1)]
    scoring: Literal["all", "fraction"] = "all"


class Calls(BaseModel):
    """Python that defines a function, and the arguments of each call of it."""

    model_config = ConfigDict(strict=True)
    program: str
    function: str
    calls: list[list[Any]]


def create_app(judge: Judge, sandbox: Sandbox, *, token: str | None, names: Names = LOOPBACK) -> FastAPI:
    """The application; `token` is what clients have to bear, `names` what the server is known as."""

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, UserError)
        return JSONResponse({"error": {"rule": error.rule, "got": error.got, "remedy": error.remedy}}, status_code=400)

    limiter = CapacityLimiter(workers())  # more programs at once would only make each other late
    rules = Rules(
        say=say,
        names=names,
        token=token,
        bodies={"/programs": Body(most_bytes=_PROGRAMS_BYTES), "/calls": Body(most_bytes=_CALLS_BYTES)},
        total_seconds=_TOTAL_SECONDS,
    )
    app = FastAPI(title="afterbase sandbox", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, rules=rules)  # type: ignore[arg-type]  # ASGI's types are written in several ways
    app.add_exception_handler(UserError, refuse)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"sandbox": PROTOCOL, "walls": judge.jail.name}

    @app.post("/programs")
    async def programs(wanted: Programs) -> dict[str, Any]:
        tests = [Case(test.stdin, test.stdout) for test in wanted.tests]
        asked = [Program(wanted.language, wanted.program, tests)]
        (verdict,) = await run_sync(partial(judge.verdicts, asked, scoring=wanted.scoring), limiter=limiter)
        return {"status": str(verdict.status), "value": verdict.value, "reason": verdict.reason}

    @app.post("/calls")
    async def calls(wanted: Calls) -> dict[str, Any]:
        asked = [Run(program=wanted.program, function=wanted.function, calls=wanted.calls)]
        (result,) = await run_sync(sandbox.run_many, asked, limiter=limiter)
        return {"reason": str(result.reason), "results": result.results}

    return app


def say(refusal: Refusal) -> tuple[str, bytes]:
    """What is refused before a request is read, in this server's form."""
    remedy = f"set {TOKEN} to the one it started with" if refusal.status == 401 else refusal.remedy
    got = f"HTTP {refusal.status} ({refusal.code})"
    return "application/json", json.dumps({"error": {"rule": refusal.rule, "got": got, "remedy": remedy}}).encode()


def serve(*, host: str, port: int, token: str | None, names: Sequence[str] = ()) -> None:
    """Serve this machine's sandboxes until Ctrl-C; `names` are further ones that clients reach it under.

    Raises UserError for an open door, a port that cannot be had, and where programs cannot be isolated.
    """
    refuse_open_door(host, token)
    with bind(host, port) as listener:
        judge = Judge(jail=jail_or_nothing(unsafe=False), workers=1)
        missing = available()
        if missing is not None:
            raise UserError("programs are run in isolation or not at all", got=missing, remedy="use another machine")
        with Sandbox(workers=workers()) as sandbox:
            app = create_app(judge, sandbox, token=token, names=names_of(host, names))
            print(f"sandbox ({judge.jail.name}) at {url_of(listener)} (Ctrl-C ends it)\n", flush=True)
            print(f"  {URL}={url_of(listener)} afterbase verify code FILE", flush=True)
            run(app, listener, say=say)
