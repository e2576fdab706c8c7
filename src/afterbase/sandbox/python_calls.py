"""Untrusted Python programs, run in isolation: a pool of fork servers, one locked-up fork a program.

A program gets the name of its function and the arguments of the calls; the expected results never enter its process.
So its channel back needs no secret: a program that forges its report has only given another answer, and the caller
compares that answer as any other. It cannot claim that the sandbox failed. What a program is kept from is told in
`fork_server.py`; without them the server refuses to start and nothing is run.

Results are plain JSON: a returned tuple becomes a list, the keys of a dict become strings. The calls of one run share
one process, so a program may carry state from call to call.

Does not cover: languages other than Python, packages outside the standard library, threads and files (refused), and
programs near the limits on a busy machine, which may be in time once and late once.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from afterbase.core.errors import UserError
from afterbase.sandbox.forks import function_calls
from afterbase.sandbox.forks.fork_client import ForkEnd, ForkLimits, ForkServer, Work
from afterbase.sandbox.forks.fork_pool import ForkPool

WORK = Work(function_calls.__name__)
_PROBE = """
import os, socket
def escape():
    found_open = []
    for name, attempt in (
        ("files", lambda: os.listdir("/")), ("processes", os.fork), ("network", socket.socket),
        ("signals", lambda: os.kill(os.getppid(), 0)),
    ):
        try:
            attempt()
            found_open.append(name)
        except OSError:
            pass
    return found_open
"""


class Reason(StrEnum):
    """How a run ended. SANDBOX is our fault; all others are the program's."""

    OK = "ok"
    CRASH = "crash"
    COMPILE = "compile"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"
    NOT_JSON = "not_json"
    SANDBOX = "sandbox"


_REPORTED_BY_PROGRAM = {Reason.OK, Reason.CRASH, Reason.COMPILE, Reason.MEMORY, Reason.NOT_JSON}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One program and the calls to make: `calls` holds the argument list of each."""

    program: str
    function: str
    calls: Sequence[Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended, and the JSON value of each call if the reason is `ok`."""

    reason: Reason
    results: list[Any] = field(default_factory=list)


class CallRunner:
    """A pool of `workers` fork servers, started when first needed; a context manager that ends them.

    Its servers may be shared: they know nothing of what they fork, so one asker's programs learn nothing of another's.
    """

    def __init__(self, *, workers: int = 2, limits: ForkLimits | None = None) -> None:
        self._limits = limits or ForkLimits()
        self._workers = ForkPool(WORK, workers)

    def __enter__(self) -> "CallRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the servers and every program in them."""
        self._workers.close()

    def run(self, program: str, function: str, calls: Sequence[Sequence[Any]]) -> RunResult:
        """One program; see `run_many`."""
        return self.run_many([Run(program=program, function=function, calls=calls)])[0]

    def run_many(self, runs: Sequence[Run]) -> list[RunResult]:
        """The result of each run, in order; one that the machine fails is tried once more."""
        return self._workers.each(self._run, runs)

    def _run(self, server: ForkServer, run: Run) -> RunResult:
        for _ in range(2):
            with contextlib.suppress(ChildProcessError), server.serving() as forks:
                ended = forks.run(vars(run), self._limits, count_output=True)
                if ended.fault != Reason.SANDBOX:
                    return _result(ended, calls=len(run.calls))
        return RunResult(reason=Reason.SANDBOX)


def _result(ended: ForkEnd, *, calls: int) -> RunResult:
    """How it ended; or else the program's own word, which is anything at all until it has been looked at."""
    if ended.fault is not None:
        return RunResult(reason=Reason(ended.fault))
    try:
        report = json.loads(ended.report.decode(errors="replace"))
        reason, results = Reason(report["reason"]), report.get("results", [])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return RunResult(reason=Reason.CRASH)
    complete = isinstance(results, list) and len(results) == calls
    if reason not in _REPORTED_BY_PROGRAM or (reason is Reason.OK and not complete):
        return RunResult(reason=Reason.CRASH)
    return RunResult(reason=reason, results=results if reason is Reason.OK else [])


@functools.cache
def missing_isolation() -> str | None:
    """None if a program that tries to get out cannot; otherwise the reason why isolation is not there."""
    if sys.platform != "linux":
        return f"isolation needs Linux, this is {sys.platform}"
    server = ForkServer(WORK)
    try:
        with server.serving() as forks:
            answer = _result(forks.run({"program": _PROBE, "function": "escape", "calls": [[]]}, ForkLimits()), calls=1)
    except UserError as error:
        return f"the sandbox does not start: {error.got}"
    except ChildProcessError as error:
        return f"the sandbox does not start: {error}"
    finally:
        server.close()
    if answer.reason is not Reason.OK:
        return f"the sandbox cannot run a program: {answer.reason}"
    return f"the sandbox leaves open: {', '.join(answer.results[0])}" if answer.results[0] else None
