"""One confined command from its start to its end: fed, watched, killed, reaped, and its end reported.

All its processes are looked at every 20 ms (`process_usage.py`); what they used together is judged once more at their
end, so that a verdict near a limit does not depend on the moment of a look. A command is over when its first process
is: what that leaves behind is killed.
"""

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, F_SETPIPE_SZ, fcntl
from io import FileIO

from afterbase.sandbox.cgroups import Group, place
from afterbase.sandbox.confinement import Confinement, Limits, WorkDir
from afterbase.sandbox.launcher_client import Launcher, Used, pooled_launcher
from afterbase.sandbox.process_usage import Samples
from afterbase.sandbox.python_calls import Reason

_TICK_SECONDS = 0.02
_END_SECONDS = 5.0
_STDERR_TAIL = 1 << 16
_PIPE_BYTES = 1 << 20  # fs.pipe-max-size
_PATIENCE = 4
_FOLDERS = 8  # how often a full folder may be written, where no file system of its own bounds it
_BY_SIGNAL = {128 + signal.SIGXFSZ: Reason.OUTPUT, 128 + signal.SIGXCPU: Reason.TIMEOUT}
_SEALED = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended: `ok` with status 0, `crash` with another, or the limit that it hit; `sandbox` is ours."""

    reason: Reason
    status: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    """The end of it."""


def run(
    confinement: Confinement,
    command: Sequence[str],
    work_dir: WorkDir,
    limits: Limits,
    *,
    stdin: bytes,
    building: bool,
    unwanted: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run the command confined; see `Confinement.confined`. Once it is `unwanted` it ends, as `sandbox`."""
    with contextlib.ExitStack() as stack:

        def owned(descriptor: int) -> FileIO:
            # A FileIO closes once: a bare number may belong to another thread by the second time.
            return stack.enter_context(FileIO(descriptor, "r+"))

        text = owned(_sealed(stdin, work_dir.user))
        (out, out_end), (error, error_end), (told, telling) = (map(owned, _pipe(work_dir.user)) for _ in range(3))
        confined = confinement.confined(command, work_dir, limits, building=building, status=telling.fileno())
        passed = [telling.fileno(), *(owned(descriptor).fileno() for descriptor in confined.descriptors)]
        numbers = {
            0: text.fileno(),
            1: out_end.fileno(),
            2: error_end.fileno(),
            **{number: number for number in passed},
        }
        try:
            groups = place()
            group = None if groups is None else stack.enter_context(groups.group(limits))
            with pooled_launcher() as launcher:
                at = None if group is None else group.folder
                first = launcher.start(confined.command, confined.environment, numbers, cgroup=at)
                for end in (out_end, error_end, telling):
                    end.close()
                texts = {"out": out.fileno(), "error": error.fileno(), "told": told.fileno()}
                return _Monitor(launcher, first, group, limits, **texts).run(unwanted)
        except ChildProcessError as fault:
            return Ended(reason=Reason.SANDBOX, stderr=str(fault).encode())


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


class _Monitor:
    """The state of one run."""

    def __init__(
        self, launcher: Launcher, first: int, group: Group | None, limits: Limits, *, out: int, error: int, told: int
    ) -> None:
        self._launcher = launcher
        self._group = group
        self._limits = limits
        self._samples = Samples(first)
        self._out, self._error, self._told = out, error, told
        self._texts = {out: bytearray(), error: bytearray(), told: bytearray()}
        self._sizes = dict.fromkeys(self._texts, 0)
        self._poll = select.poll()
        self._open = set(self._texts)
        for descriptor in (*self._texts, launcher.fileno()):
            self._poll.register(descriptor, select.POLLIN)

    def run(self, unwanted: Callable[[], bool]) -> Ended:
        """Read and look until the first process is gone or a limit is hit; then nothing of it is left."""
        fault = self._first_fault(unwanted, started=time.monotonic())
        used = self._finished(fault)
        fault = self._drained() or fault or self._passed(used)
        return self._told_so(fault)

    def _first_fault(self, unwanted: Callable[[], bool], *, started: float) -> Reason | None:
        looked = started
        while True:
            events = {descriptor for descriptor, _ in self._poll.poll(_TICK_SECONDS * 1000)}
            for pipe in events & self._open:
                self._read(pipe)
            if self._prints_too_much():
                return Reason.OUTPUT
            if self._launcher.fileno() in events:
                return None
            now = time.monotonic()
            if now - looked > _TICK_SECONDS:
                looked = now
                if unwanted():
                    return Reason.SANDBOX
                self._samples.look()
                if self._samples.memory_bytes > self._limits.memory_bytes:
                    return Reason.MEMORY
                if self._samples.written_bytes > _FOLDERS * self._limits.folder_bytes:
                    return Reason.OUTPUT
                if self._cpu_seconds() > self._limits.cpu_seconds:
                    return Reason.TIMEOUT
                late = overdue(self._limits, now - started, self._samples.kept_waiting_seconds)
                if late is not None:
                    return late

    def _read(self, pipe: int) -> None:
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            self._poll.unregister(pipe)
            self._open.remove(pipe)
            return
        text = self._texts[pipe]
        text += chunk
        self._sizes[pipe] += len(chunk)
        if pipe == self._error:
            del text[: max(0, len(text) - _STDERR_TAIL)]

    def _prints_too_much(self) -> bool:
        return max(self._sizes[self._out], self._sizes[self._error]) > self._limits.output_bytes

    def _finished(self, fault: Reason | None) -> Used:
        """End the command if it is not at its end, and wait until its last process is gone."""
        self._poll.unregister(self._launcher.fileno())
        if fault is not None:
            self._launcher.end(at_once=False)
            if not _readable(self._launcher):
                self._launcher.end(at_once=True)
        return self._launcher.used()

    def _drained(self) -> Reason | None:
        """What was still in the pipes."""
        deadline = time.monotonic() + _END_SECONDS
        while self._open and not self._prints_too_much() and time.monotonic() < deadline:
            for pipe, _ in self._poll.poll(_TICK_SECONDS * 1000):
                if pipe in self._open:
                    self._read(pipe)
        return Reason.OUTPUT if self._prints_too_much() else None

    def _passed(self, used: Used) -> Reason | None:
        """The limit that only the sum at the end shows to be passed: it is the same however often one looked."""
        killed_for_memory = self._group is not None and self._group.out_of_memory
        if killed_for_memory or used.peak_bytes > self._limits.memory_bytes:
            return Reason.MEMORY
        return Reason.TIMEOUT if max(used.cpu_seconds, self._cpu_seconds()) > self._limits.cpu_seconds else None

    def _cpu_seconds(self) -> float:
        """What the kernel counted, or else what was seen."""
        return self._samples.cpu_seconds if self._group is None else self._group.cpu_seconds

    def _status_lines(self) -> Iterator[dict]:
        for line in bytes(self._texts[self._told]).splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def _told_so(self, fault: Reason | None) -> Ended:
        stdout, stderr = bytes(self._texts[self._out]), bytes(self._texts[self._error])
        if fault is not None:
            return Ended(reason=fault, stdout=stdout, stderr=stderr)
        status = next((line["exit-code"] for line in self._status_lines() if "exit-code" in line), None)
        if status is None:
            return Ended(reason=Reason.SANDBOX, stderr=stderr)
        reason = Reason.OK if status == 0 else _BY_SIGNAL.get(status, Reason.CRASH)
        return Ended(reason=reason, status=status, stdout=stdout, stderr=stderr)


def overdue(limits: Limits, elapsed: float, kept_waiting: float) -> Reason | None:
    """Whether a command's time by the clock is up, and whose fault that is.

    What it was kept waiting for a processor is the machine's time, not the command's: who sleeps or waits for what
    never comes is late at the limit, who was not let run has longer. After four times the limit nothing can be said.
    """
    if elapsed - kept_waiting > limits.wall_seconds:
        return Reason.TIMEOUT
    return Reason.SANDBOX if elapsed > _PATIENCE * limits.wall_seconds else None


def _readable(file: Launcher) -> bool:
    """Whether something can be read, or can be in time."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(_END_SECONDS * 1000))
