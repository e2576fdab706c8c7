"""The parent's side of one worker (`own_worker.py`): it starts, is asked, and is killed where it is late or gone.

What the user's function prints is read here, and the end of it kept for a message.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.verify.own import own_worker
from afterbase.verify.own.own_function import OwnFunction

_WORKER = Path(own_worker.__file__)
_LOAD_SECONDS = 600.0  # a cold import of large packages, and of what the module loads, on a busy machine
_GRACE = 2.0  # seconds beyond the deadline, for a worker that keeps it itself
_TAIL = 2000  # bytes of what was printed
_SHOWN = 200  # characters of it in a message

Outcome = dict[str, Any]
Asked = tuple[int, dict[str, Any]]


class OwnProcess:
    """One worker with the user's function loaded; `told` is what it said of it."""

    def __init__(self, function: OwnFunction) -> None:
        """Raises UserError where the function cannot be loaded, or cannot be called with what there is."""
        self._printed = bytearray()
        here, there = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self._output, output = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        theirs = [there.detach(), lifeline, output]
        self._pid = self._forked(function, theirs) if function.call is not None else self._spawned(theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self._door = Connection(here.detach())
        self.told = self._load(function)

    def ask(self, asked: Sequence[Asked]) -> Iterator[tuple[int, Outcome]]:
        """(number, outcome) of each, as it comes; all that are missing where the worker is late or gone.

        The worker has ended then (`alive`).
        """
        self._drain()
        self._printed.clear()
        missing = [number for number, _ in asked]
        try:
            self._door.send(list(asked))
            while missing:
                got = self._received(self.told["deadline"] + (_GRACE if self.told["async"] else 0.0))
                if got is None:
                    fault = {"failed": "timeout", "detail": f"no value after {self.told['deadline']:g} seconds"}
                    break
                missing.remove(got[0])
                yield got[0], self._with_printed(got[1])
                if got[1].get("failed") == "memory":  # what it holds on to is unknown
                    fault = got[1]
                    break
            else:
                return
        except (EOFError, OSError):
            fault = {"failed": "crash", "detail": self._how_it_ended()}
        self.close()
        for number in missing:
            yield number, self._with_printed(fault)

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._pid is not None

    def close(self) -> None:
        """End the worker with all that it has started."""
        if self._pid is None:
            return
        # The group first, the reaping second: until the leader is reaped its number cannot belong to somebody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        self._wait()
        self._drain()
        for descriptor in (self._output, self._lifeline):
            os.close(descriptor)
        self._door.close()
        self._pid = None

    def _spawned(self, theirs: list[int]) -> int:
        door, lifeline, output = theirs
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(door), str(lifeline)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(door, lifeline),
            env={"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", **os.environ},
            start_new_session=True,
        )
        return self._process.pid

    def _forked(self, function: OwnFunction, theirs: list[int]) -> int:
        """A copy of this process, for a callable that only this process has."""
        door, lifeline, output = theirs
        pid = os.fork()
        if pid > 0:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(pid, pid)
            return pid
        try:  # from here on the child, which never returns
            with contextlib.suppress(PermissionError):
                os.setpgid(0, 0)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._lifeline)
            for standard in (1, 2):
                os.dup2(output, standard)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", errors="backslashreplace") for n in (1, 2))
            own_worker.serve(Connection(door), lifeline, function.call)
        finally:
            os._exit(0)

    def _load(self, function: OwnFunction) -> dict[str, Any]:
        order = {
            "file": function.file, "module": function.module, "name": function.name, "folders": _folders(function)
        }  # fmt: skip
        why = f"it was not loaded within {_LOAD_SECONDS:g} seconds"
        try:
            self._door.send(order)
            told = self._received(_LOAD_SECONDS)
        except (EOFError, OSError):
            told, why = None, self._how_it_ended()
        if told is None or "refused" in told:
            self.close()
            raise UserError(
                "one's own reward can be loaded, and called with keywords that there are",
                got=f"`{function.shown}`: {why if told is None else told['refused']}{self._print_tail()}",
                remedy="correct the file; docs/rewards.md tells the keywords",
            )
        return told

    def _received(self, seconds: float) -> Any:
        """The next message, while what is printed is read; None where none comes in time."""
        poll = select.poll()
        poll.register(self._door.fileno(), select.POLLIN)
        poll.register(self._output, select.POLLIN)
        deadline = time.monotonic() + seconds
        while True:
            events = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if self._output in events and not self._read():
                poll.unregister(self._output)
            if self._door.fileno() in events:
                return self._door.recv()
            if time.monotonic() >= deadline:
                return None

    def _read(self) -> bool:
        chunk = os.read(self._output, 1 << 16)
        self._printed += chunk
        del self._printed[:-_TAIL]
        return bool(chunk)

    def _drain(self) -> None:
        """What has been printed so far, which is then kept or forgotten."""
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        while poll.poll(0) and self._read():
            continue

    def _with_printed(self, outcome: Outcome) -> Outcome:
        if "failed" not in outcome:
            return outcome
        if self.alive:
            self._drain()
        return {**outcome, "detail": outcome["detail"] + self._print_tail()}

    def _print_tail(self) -> str:
        said = " ".join(self._printed.decode(errors="replace").split())[-_SHOWN:]
        return f"; it printed: {said}" if said else ""

    def _how_it_ended(self) -> str:
        status = self._wait()
        if status < 0:
            return f"its process was ended by signal {-status} ({signal.Signals(-status).name})"
        return f"its process ended with status {status}"

    def _wait(self) -> int:
        """Reap it, killed if it does not end; its exit status, or minus the signal's number."""
        assert self._pid is not None
        if self._status is None:
            ended = select.poll()
            ended.register(pidfd := os.pidfd_open(self._pid), select.POLLIN)
            if not ended.poll(_GRACE * 1000):
                os.killpg(self._pid, signal.SIGKILL)
            os.close(pidfd)
            if self._process is not None:
                self._status = self._process.wait()
            else:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self._status


def _folders(function: OwnFunction) -> list[str]:
    """Where its imports are looked for first: beside a file; for a module above its package, and where we are."""
    if function.call is not None:
        return []
    file = Path(function.file)
    if not function.module:
        return [str(file.parent)]
    depth = function.module.count(".") + (file.name == "__init__.py")
    return [str(file.parents[depth]), os.getcwd()]
