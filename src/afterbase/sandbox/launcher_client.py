"""Launchers (`launcher.py`) of this process, one for each command that runs at the same time, and their commands."""

import atexit
import contextlib
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from afterbase.sandbox import launcher

_idle: dict[int, queue.SimpleQueue["Launcher"]] = {}  # by process: a fork shares none of them


@dataclass(frozen=True, kw_only=True)
class Used:
    """What all processes of a command used that were waited for."""

    cpu_seconds: float
    peak_bytes: int
    """Of the largest process: resident memory, pages of files included."""


class Launcher:
    """One launcher and the command that it runs; ChildProcessError if it cannot start one or is found dead."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-s", "-P", launcher.__file__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        numbers: Mapping[int, int],
        *,
        cgroup: Path | None,
    ) -> int:
        """The process of a new command; `numbers` names one of our descriptors for each number among its own."""
        binary = shutil.which(command[0], path=environment.get("PATH", os.defpath))
        if binary is None:
            raise FileNotFoundError(2, os.strerror(2), command[0])
        request = {
            "command": [binary, *command[1:]],
            "environment": dict(environment),
            "numbers": list(numbers),
            "cgroup": None if cgroup is None else str(cgroup),
        }
        with self._living():
            socket.send_fds(self._link, [json.dumps(request).encode()], list(numbers.values()))
        told = self._told()
        if "fault" in told:
            raise ChildProcessError(told["fault"])
        return told["pid"]

    def fileno(self) -> int:
        """Can be read when the command and all that it left are gone."""
        return self._link.fileno()

    def end(self, *, at_once: bool) -> None:
        """End the command: in order, or at once."""
        with self._living():
            self._link.send(launcher.KILL if at_once else launcher.END)

    def used(self) -> Used:
        """What the command used; waits until it and all that it left are gone."""
        return Used(**self._told())

    def close(self) -> None:
        """End the launcher and what it runs."""
        end_link(self._link)
        self._process.wait()

    def _told(self) -> dict:
        with self._living():
            message = self._link.recv(launcher.MESSAGE_BYTES)
        if not message:
            raise ChildProcessError("a launcher is dead")
        return json.loads(message)

    @contextlib.contextmanager
    def _living(self) -> Iterator[None]:
        try:
            yield
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildProcessError("a launcher is dead") from error


def end_link(link: socket.socket) -> None:
    """Close a socket so that its other side reads the end, also where a fork of this process holds a copy of it."""
    with contextlib.suppress(OSError):  # the other side is gone already
        link.shutdown(socket.SHUT_RDWR)
    link.close()


@contextlib.contextmanager
def pooled_launcher() -> Iterator[Launcher]:
    """A launcher that nobody else uses meanwhile; ended if the use of it ends by an error."""
    idle = _idle.setdefault(os.getpid(), queue.SimpleQueue())
    try:
        one = idle.get_nowait()
    except queue.Empty:
        one = Launcher()
    try:
        yield one
    except BaseException:
        one.close()
        raise
    idle.put(one)


@atexit.register
def close_idle() -> None:
    """End the launchers that nobody uses."""
    idle = _idle.get(os.getpid(), queue.SimpleQueue())
    with contextlib.suppress(queue.Empty):
        while True:
            idle.get_nowait().close()
