"""A child process that answers one JSON line with one JSON line, by a hard deadline.

What may hang, crash or eat memory (sympy, a puzzle's scorer, other people's programs) lives in such a child. A child
that is late or dead is killed with its whole process group and reaped; the next question starts a new one.

Does not cover: several questions in flight at once (a lock makes callers wait), and use of one object across a fork.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

_START_SECONDS = 60.0  # a cold import on a busy machine


class Child:
    """One restartable child. Its first line is {"ready": true}, or {"fault": why} if it cannot do its work."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """The child's answer; TimeoutError if it is late, ChildProcessError if it died or cannot start."""
        with self._lock:
            try:
                if self._process is None:
                    self._process = self._start()
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                return self._read_line(self._process, seconds)
            except BrokenPipeError as error:
                self._end()
                raise ChildProcessError("the child is dead") from error
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        """End the process group and reap the child; asking again starts a new one."""
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
        greeting = self._read_line(self._process, _START_SECONDS)
        if not greeting.get("ready"):
            raise ChildProcessError(greeting["fault"])
        return self._process

    @staticmethod
    def _read_line(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        deadline = time.monotonic() + seconds
        line = bytearray()
        while not line.endswith(b"\n"):
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            chunk = os.read(process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise ChildProcessError("the child is dead")
            line += chunk
        return json.loads(line)

    def _end(self) -> None:
        if self._process is None:
            return
        # The group first, the reaping second: until the leader is reaped its number cannot belong to somebody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process = None
