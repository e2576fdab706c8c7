"""The asker's side of a fork server (`fork_server.py`): orders, deadlines, and what became of each fork.

An order is one message with the descriptors of a fork: where it may print, where it reports, the file that holds its
request, and for a fork that is to hold and serve, a socket of its own. Two messages come back: its process id, and in
the end its wait status and processor seconds. Requests and reports never pass through the server.

Time counts as the fork's own while it runs, sleeps or waits, and not while it stands in the queue for a processor. A
fork that uses up its own time is late. One that did not get it, on a machine with too much to do, is the machine's
fault, as is one that the kernel kills when memory is short: `sandbox`, to be tried again.

Does not cover: several forks of one server at once (a lock makes callers wait), and use of one object across a fork.
"""

import contextlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from afterbase.core.errors import UserError
from afterbase.sandbox.forks.fork_server import END, ENDED, FAULT, READY, STARTED
from afterbase.sandbox.launcher_client import end_link

_SERVER = Path(__file__).with_name("fork_server.py")
_START_SECONDS = 120.0  # a cold import on a busy machine
_MOST_WALL = 10  # times the fork's own time
_END_SECONDS = 10.0


class Work(NamedTuple):
    """What a fork server loads: a module with `load`, `answer`, `OUT_OF_MEMORY` and, if forks may hold, `hold`.

    `packages` are those outside the standard library that it imports; `kind` is given to `load`.
    """

    module: str
    packages: tuple[str, ...] = ()
    kind: str = ""


class Fault(StrEnum):
    """What ended a fork before it was done; the last is nobody's answer's fault."""

    TIMEOUT = "timeout"
    OUTPUT = "output"
    CRASH = "crash"
    SANDBOX = "sandbox"


class ForkEnd(NamedTuple):
    """What ended a fork, None if it was done; and what it reported."""

    fault: Fault | None
    report: bytes


@dataclass(frozen=True, kw_only=True)
class ForkLimits:
    """What one fork may use."""

    cpu_seconds: int = 2
    wall_seconds: float = 6.0
    """By the clock, without the time that it stands in the queue for a processor."""
    memory_bytes: int = 256 << 20
    """Address space, the server's own included."""
    output_bytes: int = 1 << 20
    """Of what is printed, and of the report, each."""


class Server:
    """Where orders go: a fork server, or a fork of it that holds what its own forks have in common."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders

    def run(self, request: Mapping[str, Any], limits: ForkLimits, *, count_output: bool = False) -> ForkEnd:
        """One fork, with a limit on what it prints if `count_output`. ChildProcessError if no server is there."""
        with _Pipes() as pipes:
            pipes.add("report")
            if count_output:
                pipes.add("noise")
            fork = self._order(request, limits, pipes)
            return fork.end(fork.read(pipes), pipes)

    @contextlib.contextmanager
    def holding(self, request: Mapping[str, Any], limits: ForkLimits) -> Iterator["Holder"]:
        """A fork that serves until the block ends; what it told of the request is its `told`."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, _Pipes() as pipes:
            pipes.add("report")
            fork = self._order(request, limits, pipes, there)
            fault = fork.read(pipes)
            said = bytes(pipes.texts["report"])
            done = fault is None and said[:1] == b"+"
            try:
                yield Holder(here, ForkEnd(None if done else fault or Fault.SANDBOX, said[1:]))
            finally:
                end_link(here)
                fork.end(fault, pipes)

    def _order(
        self, request: Mapping[str, Any], limits: ForkLimits, pipes: "_Pipes", orders: socket.socket | None = None
    ) -> "_Fork":
        order = {"hold": orders is not None, "memory_bytes": limits.memory_bytes, "cpu_seconds": limits.cpu_seconds}
        ends = [pipes.end("noise"), pipes.end("report"), pipes.file(json.dumps(request).encode())]
        try:
            sent = [*ends, *([orders.detach()] if orders is not None else [])]
            pipes.ends += sent[3:]
            socket.send_fds(self._orders, [json.dumps(order).encode()], sent)
        except OSError as error:
            raise ChildProcessError("the server is dead") from error
        pipes.close_ends()
        return _Fork(self._orders, limits)


class Holder(Server):
    """A server that holds what its request said; `told` is what it reported of that."""

    def __init__(self, orders: socket.socket, told: ForkEnd) -> None:
        super().__init__(orders)
        self.told = told


class ForkServer:
    """One restartable fork server for a kind of work. It starts when it is first needed."""

    def __init__(self, work: Work) -> None:
        # -P: no module of this folder may stand in for one of the standard library.
        self._command = [sys.executable, "-S", "-s", "-P", str(_SERVER), work.module, work.kind, *_folders(work)]
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Server]:
        """The server, started if need be; any error in the block ends it.

        Raises ChildProcessError if it does not start, UserError if this machine cannot confine it.
        """
        with self._lock:
            try:
                yield self._started()
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        """End the server with its forks, and reap it; asking again starts a new one."""
        with self._lock:
            self._end()

    def _started(self) -> Server:
        if self._orders is None:
            self._orders, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with there:
                # Hashes are fixed, so the order of a set of strings, and with it a verdict, is the same in each server.
                self._process = subprocess.Popen(
                    self._command,
                    stdin=there.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
                    cwd="/",
                    start_new_session=True,
                )
            greeting = _received(self._orders, _START_SECONDS)
            if greeting.startswith(FAULT):
                raise UserError(
                    "what a model wrote is run and scored in isolation or not at all",
                    got=greeting.removeprefix(FAULT).decode(errors="replace"),
                    remedy="use Linux on x86-64 with Landlock and seccomp",
                )
            if greeting != READY:
                raise ChildProcessError("the server is dead")
        return Server(self._orders)

    def _end(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._process is not None:
            # The group first, the reaping second: until the leader is reaped its number cannot belong to somebody else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class _Pipes(contextlib.AbstractContextManager["_Pipes"]):
    """The descriptors of one order: ours to read from, theirs to send; all are closed in the end."""

    def __init__(self) -> None:
        self.texts: dict[str, bytearray] = {}
        self.ours: dict[int, str] = {}
        self.ends: list[int] = []
        self._theirs: dict[str, int] = {}

    def add(self, name: str) -> None:
        here, there = os.pipe()
        self.ours[here] = name
        self._theirs[name] = there
        self.ends.append(there)
        self.texts[name] = bytearray()

    def end(self, name: str) -> int:
        """Theirs of a pipe, or nowhere."""
        if name not in self._theirs:
            self._theirs[name] = os.open(os.devnull, os.O_WRONLY)
            self.ends.append(self._theirs[name])
        return self._theirs[name]

    def file(self, text: bytes) -> int:
        """A file without a name that holds the text."""
        file = os.memfd_create("request")
        self.ends.append(file)
        while text:
            text = text[os.write(file, text) :]
        return file

    def close_ends(self) -> None:
        while self.ends:
            os.close(self.ends.pop())

    def __exit__(self, *_: object) -> None:
        self.close_ends()
        for pipe in self.ours:
            os.close(pipe)


class _Fork:
    """A fork that has been ordered."""

    def __init__(self, orders: socket.socket, limits: ForkLimits) -> None:
        self._orders = orders
        self._limits = limits
        self._start = time.monotonic()
        self._pid: int | None = None
        self._ended: tuple[int, float, bool] | None = None

    def read(self, pipes: _Pipes) -> Fault | None:
        """Take in what it writes, until it has closed its ends; the fault, if it is late or too loud."""
        poll, still_open = select.poll(), {*pipes.ours}
        deadline = self._start + self._limits.wall_seconds
        for descriptor in (*still_open, self._orders.fileno()):
            poll.register(descriptor, select.POLLIN)
        while still_open:
            events = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not events:
                most = self._start + _MOST_WALL * self._limits.wall_seconds
                if time.monotonic() >= most:
                    return Fault.SANDBOX
                deadline = min(most, self._start + self._limits.wall_seconds + self._queued())
                if time.monotonic() >= deadline:
                    return Fault.TIMEOUT
            for descriptor, _ in events:
                if descriptor == self._orders.fileno():
                    self._receive(0)
                    if self._ended is not None:
                        poll.unregister(descriptor)
                    continue
                chunk = os.read(descriptor, 1 << 16)
                text = pipes.texts[pipes.ours[descriptor]]
                text += chunk
                if not chunk:
                    poll.unregister(descriptor)
                    still_open.remove(descriptor)
                elif len(text) > self._limits.output_bytes:
                    return Fault.OUTPUT
        return None

    def end(self, fault: Fault | None, pipes: _Pipes) -> ForkEnd:
        """Have it killed if it lives on, which it does alone: it has nothing more to say; then what became of it."""
        if self._ended is None:
            with contextlib.suppress(OSError):
                self._orders.send(END)
        while self._ended is None:
            self._receive(_END_SECONDS)
        status, seconds, killed = self._ended
        report = bytes(pipes.texts["report"])
        if report[:1] != b"+":
            return ForkEnd(Fault.SANDBOX, b"")
        signalled = os.WTERMSIG(status)
        if fault is None and len(report) == 1:
            if signalled == signal.SIGXCPU or seconds > self._limits.cpu_seconds:
                fault = Fault.TIMEOUT
            else:
                fault = Fault.SANDBOX if signalled == signal.SIGKILL and not killed else Fault.CRASH
        return ForkEnd(fault, report[1:])

    def _receive(self, seconds: float) -> None:
        message = _received(self._orders, seconds)
        if len(message) == STARTED.size:
            (self._pid,) = STARTED.unpack(message)
        elif len(message) == ENDED.size:
            self._ended = ENDED.unpack(message)
        else:
            raise ChildProcessError("the server is dead")

    def _queued(self) -> float:
        """Seconds that it has stood in the queue for a processor; for ever, where that is not known."""
        try:
            with open(f"/proc/{self._pid}/schedstat", "rb") as file:
                return int(file.read().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return float("inf")


def _received(orders: socket.socket, seconds: float) -> bytes:
    """The next message; empty if there is nobody. ChildProcessError if none comes in time."""
    poll = select.poll()
    poll.register(orders, select.POLLIN)
    if not poll.poll(seconds * 1000):
        raise ChildProcessError("the server is late")
    try:
        return orders.recv(1 << 10)
    except ConnectionError:
        return b""


def _folders(work: Work) -> list[str]:
    """Where its packages lie; the servers know no site packages."""
    found = [importlib.util.find_spec(name) for name in work.packages]
    return list(dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in found if spec and spec.origin))
