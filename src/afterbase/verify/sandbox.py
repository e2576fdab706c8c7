"""Untrusted Python programs, run in isolation: a pool of fork servers, one locked-up fork a program.

A program gets the name of its function and the arguments of the calls; the expected results never enter its process.
So its channel back needs no secret: a program that forges its report has only given another answer, and the caller
compares that answer as any other. It cannot claim that the sandbox failed. What a program is kept from is told in
`sandbox_server.py`; without both walls there the server refuses to start and nothing is run.

Results are plain JSON: a returned tuple becomes a list, the keys of a dict become strings. The calls of one run share
one process, so a program may carry state from call to call.

Does not cover: languages other than Python, packages outside the standard library, threads and files (refused), and
programs near the limits on a busy machine, which may be in time once and late once.
"""

import contextlib
import dataclasses
import functools
import json
import queue
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from afterbase.verify.child import Child

_SERVER = Path(__file__).with_name("sandbox_server.py")
_GRACE_SECONDS = 10.0  # beyond the program's own deadline, which the server keeps
_PROBE = """
import os, socket
def escape():
    open_doors = []
    for name, door in (
        ("files", lambda: os.listdir("/")), ("processes", os.fork), ("network", socket.socket),
        ("signals", lambda: os.kill(os.getppid(), 0)),
    ):
        try:
            door()
            open_doors.append(name)
        except OSError:
            pass
    return open_doors
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
class Limits:
    """What one run may use."""

    cpu_seconds: int = 2
    wall_seconds: float = 6.0
    memory_bytes: int = 256 << 20
    """Address space, the interpreter's 20 MB included."""
    output_bytes: int = 1 << 20
    """Of what is printed, and of the results, each."""


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


class Sandbox:
    """A pool of `workers` fork servers, started when first needed; a context manager that ends them."""

    def __init__(self, *, workers: int = 2, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        # Hashes are fixed, so the order of a set of strings, and with it a verdict, is the same in every server.
        command, environment = [sys.executable, "-S", "-s", "-P", str(_SERVER)], {"PYTHONHASHSEED": "0"}
        self._servers = [Child(command, environment=environment) for _ in range(workers)]
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for server in self._servers:
            self._idle.put(server)
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the servers and every program in them."""
        self._threads.shutdown()
        for server in self._servers:
            server.close()

    def run(self, program: str, function: str, calls: Sequence[Sequence[Any]]) -> RunResult:
        """One program; see `run_many`."""
        return self._run(Run(program=program, function=function, calls=calls))

    def run_many(self, runs: Sequence[Run]) -> list[RunResult]:
        """The result of each run, in order; a server that dies is replaced and its run tried once more."""
        return list(self._threads.map(self._run, runs))

    def _run(self, run: Run) -> RunResult:
        request = {**dataclasses.asdict(run), "limits": dataclasses.asdict(self._limits)}
        server = self._idle.get()
        try:
            for _ in range(2):
                with contextlib.suppress(TimeoutError, ChildProcessError):
                    answer = server.ask(request, seconds=self._limits.wall_seconds + _GRACE_SECONDS)
                    if answer.get("reason") != Reason.SANDBOX:
                        return _result(answer, calls=len(run.calls))
            return RunResult(reason=Reason.SANDBOX)
        finally:
            self._idle.put(server)


def _result(answer: dict[str, Any], *, calls: int) -> RunResult:
    """The server's word; or else the program's own, which is anything at all until it has been looked at."""
    if "reason" in answer:
        return RunResult(reason=Reason(answer["reason"]))
    try:
        report = json.loads(answer["report"])
        reason, results = Reason(report["reason"]), report.get("results", [])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return RunResult(reason=Reason.CRASH)
    complete = isinstance(results, list) and len(results) == calls
    if reason not in _REPORTED_BY_PROGRAM or (reason is Reason.OK and not complete):
        return RunResult(reason=Reason.CRASH)
    return RunResult(reason=reason, results=results if reason is Reason.OK else [])


@functools.cache
def available() -> str | None:
    """None if a program that tries to get out cannot; otherwise the reason why isolation is not there."""
    if sys.platform != "linux":
        return f"isolation needs Linux, this is {sys.platform}"
    server = Child([sys.executable, "-S", "-s", "-P", str(_SERVER)], environment={})
    try:
        request = {"program": _PROBE, "function": "escape", "calls": [[]], "limits": dataclasses.asdict(Limits())}
        answer = _result(server.ask(request, seconds=30), calls=1)
    except (TimeoutError, ChildProcessError) as error:
        return f"the sandbox does not start: {error}"
    finally:
        server.close()
    if answer.reason is not Reason.OK:
        return f"the sandbox cannot run a program: {answer.reason}"
    return f"the sandbox leaves open: {', '.join(answer.results[0])}" if answer.results[0] else None
