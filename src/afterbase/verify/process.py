"""One confined command from its start to its end: fed, watched, killed, reaped, and told what became of it.

Memory is what all processes of the command hold that is not a file's, page tables included. It is looked at every
20 ms, as is their processor time; so a limit may be passed by what is taken in that time. A command is over when its
first process is: what that leaves behind is killed.
"""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, F_SETPIPE_SZ, fcntl
from io import FileIO

from afterbase.verify.jail import Jail, Limits, Room
from afterbase.verify.sandbox import Reason

_TICK_SECONDS = 0.02
_END_SECONDS = 5.0
_STDERR_TAIL = 1 << 16
_PIPE_BYTES = 1 << 20  # fs.pipe-max-size
# With the tables of pages: those of terabytes that are reserved and only read fill a machine's memory alone.
_HELD = re.compile(rb"^(?:RssAnon|VmSwap|VmPTE):\s*([0-9]+) kB$", re.MULTILINE)
_SEALED = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended: `ok` with status 0, `crash` with another, or the limit that it hit; `sandbox` is ours."""

    reason: Reason
    status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    """The end of it."""


def run(jail: Jail, command: Sequence[str], room: Room, limits: Limits, *, stdin: bytes, building: bool) -> Ended:
    """Run the command in the jail; see `Jail.confined`."""
    with contextlib.ExitStack() as stack:

        def owned(descriptor: int) -> FileIO:
            # A FileIO closes once: a bare number may belong to another thread by the second time.
            return stack.enter_context(FileIO(descriptor, "r+"))

        text = owned(_sealed(stdin, room.user))
        (out, out_end), (error, error_end), (told, telling) = (map(owned, _pipe(room.user)) for _ in range(3))
        confined = jail.confined(command, room, limits, building=building, status=telling.fileno())
        for descriptor in confined.descriptors:
            owned(descriptor)
        process = subprocess.Popen(
            confined.command,
            stdin=text,
            stdout=out_end,
            stderr=error_end,
            env=dict(confined.environment),
            cwd="/",
            start_new_session=True,
            pass_fds=[telling.fileno(), *confined.descriptors],
        )
        for end in (out_end, error_end, telling):
            end.close()
        return _Watch(process, limits, out=out.fileno(), error=error.fileno(), told=told.fileno()).until_the_end()


def _sealed(text: bytes, user: int | None) -> int:
    """A file without a name: a program that never reads cannot make us wait."""
    file = os.memfd_create("stdin", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with open(file, "wb", closefd=False) as stream:
        stream.write(text)
    fcntl(file, F_ADD_SEALS, _SEALED)
    os.lseek(file, 0, os.SEEK_SET)
    if user is not None:
        os.fchown(file, user, user)
    return file


def _pipe(user: int | None) -> tuple[int, int]:
    """A pipe that the command may open again, as /dev/stdout.

    It is as long as it may be, since Node drops what a pipe does not take at once when a program calls process.exit.
    """
    ends = os.pipe()
    with contextlib.suppress(PermissionError):  # the user's share of long pipes is used up
        fcntl(ends[1], F_SETPIPE_SZ, _PIPE_BYTES)
    if user is not None:
        os.fchown(ends[1], user, user)
    return ends


class _Watch:
    """The state of one run."""

    def __init__(self, process: subprocess.Popen, limits: Limits, *, out: int, error: int, told: int) -> None:
        self._process = process
        self._limits = limits
        self._out, self._error, self._told = out, error, told
        self._texts = {out: bytearray(), error: bytearray(), told: bytearray()}
        self._sizes = dict.fromkeys(self._texts, 0)
        self._first: int | None = None
        self._cpu_seconds = 0.0
        self._poll = select.poll()
        self._open = set(self._texts)
        for pipe in self._texts:
            self._poll.register(pipe, select.POLLIN)

    def until_the_end(self) -> Ended:
        """Read and look until the first process is gone or a limit is hit; then nothing of it is left."""
        started = time.monotonic()
        ended = os.pidfd_open(self._process.pid)
        try:
            self._poll.register(ended, select.POLLIN)
            fault = self._watched(ended, deadline=started + self._limits.wall_seconds)
            self._finish(ended)
            fault = self._drained() or fault
        finally:
            os.close(ended)
        return self._told_so(fault, seconds=time.monotonic() - started)

    def _watched(self, ended: int, *, deadline: float) -> Reason | None:
        looked = 0.0
        while True:
            events = {descriptor for descriptor, _ in self._poll.poll(_TICK_SECONDS * 1000)}
            now = time.monotonic()
            for pipe in events & self._open:
                self._read(pipe)
            if self._too_loud():
                return Reason.OUTPUT
            if ended in events:
                return None
            if now > deadline:
                return Reason.TIMEOUT
            if now - looked > _TICK_SECONDS:
                looked = now
                memory, self._cpu_seconds = _use_of(self._process.pid)
                if memory > self._limits.memory_bytes:
                    return Reason.MEMORY
                if self._cpu_seconds > self._limits.cpu_seconds:
                    return Reason.TIMEOUT

    def _read(self, pipe: int) -> None:
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            self._poll.unregister(pipe)
            self._open.remove(pipe)
            return
        text = self._texts[pipe]
        text += chunk
        self._sizes[pipe] += len(chunk)
        if pipe == self._told and self._first is None:
            self._first = next(
                (_pidfd(line["child-pid"]) for line in self._status_lines() if "child-pid" in line), None
            )
        if pipe == self._error:
            del text[: max(0, len(text) - _STDERR_TAIL)]

    def _too_loud(self) -> bool:
        return max(self._sizes[self._out], self._sizes[self._error]) > self._limits.output_bytes

    def _finish(self, ended: int) -> None:
        """End the command and wait until its last process is gone."""
        self._poll.unregister(ended)
        self._process.terminate()
        if not _over(ended):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            if self._first is not None:
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
        self._process.wait()
        if self._first is not None:
            _over(self._first)  # the first process of a namespace is gone after all others
            os.close(self._first)

    def _drained(self) -> Reason | None:
        """What was still in the pipes."""
        deadline = time.monotonic() + _END_SECONDS
        while self._open and not self._too_loud() and time.monotonic() < deadline:
            for pipe, _ in self._poll.poll(_TICK_SECONDS * 1000):
                if pipe in self._open:
                    self._read(pipe)
        return Reason.OUTPUT if self._too_loud() else None

    def _status_lines(self) -> Iterator[dict]:
        for line in bytes(self._texts[self._told]).splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def _told_so(self, fault: Reason | None, *, seconds: float) -> Ended:
        stdout, stderr = bytes(self._texts[self._out]), bytes(self._texts[self._error])
        if fault is not None:
            return Ended(reason=fault, stdout=stdout, stderr=stderr)
        status = next((line["exit-code"] for line in self._status_lines() if "exit-code" in line), None)
        if status is None:
            return Ended(reason=Reason.SANDBOX, stderr=stderr)
        if status == 0:
            return Ended(reason=Reason.OK, status=0, stdout=stdout, stderr=stderr)
        return Ended(reason=self._crash(status, seconds), status=status, stdout=stdout, stderr=stderr)

    def _crash(self, status: int, seconds: float) -> Reason:
        if status == 128 + signal.SIGXFSZ:
            return Reason.OUTPUT
        # Two threads use up their time in half of it by the clock; what was seen of it is a look behind.
        out_of_time = max(seconds, self._cpu_seconds / 0.8) >= self._limits.cpu_seconds
        if out_of_time and status in (128 + signal.SIGXCPU, 128 + signal.SIGKILL):
            return Reason.TIMEOUT
        return Reason.CRASH


def _over(process: int) -> bool:
    """Whether a process is gone, or is so in time."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(_END_SECONDS * 1000))


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _use_of(root: int) -> tuple[int, float]:
    """Bytes that a process and all below it hold in memory, files' pages apart; and their processor seconds so far."""
    memory, seconds, waiting = 0, 0.0, [root]
    while waiting:
        pid = waiting.pop()
        try:
            memory += _own_memory(pid)
            seconds += _own_seconds(pid)
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    waiting += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return memory, seconds


def _own_seconds(pid: int) -> float:
    """Those of the children that it waited for included."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _own_memory(pid: int) -> int:
    with open(f"/proc/{pid}/status", "rb") as file:
        return sum(map(int, _HELD.findall(file.read()))) << 10
