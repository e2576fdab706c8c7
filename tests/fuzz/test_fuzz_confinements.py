"""Programs that do what no program should, made at random, in each confinement: nothing outside changes.

A case is a Python program of a few moves: raw system calls with drawn numbers and arguments, files at drawn paths,
signals, limits and priorities of other processes, forks, what is left behind.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from afterbase.core.sample import Status
from afterbase.sandbox.confinement import Confinement
from afterbase.sandbox.programs import Case, Program, ProgramRunner
from confinements import KINDS, SMALL, confinement_or_skip

pytestmark = pytest.mark.fuzz

_HEAD = """
import ctypes, os, resource, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def tried(move):
    try: move()
    except BaseException: pass
def buffer(text): return ctypes.create_string_buffer(text, 4096)
"""


class Outside:
    """What no program may change: a process, a folder with a file, and the processes of this one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "kept"
        self.file.write_text("kept")
        os.utime(self.file, (1, 1))
        self.file.chmod(0o604)
        self.process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        self.before = self._state()

    def _state(self) -> tuple:
        seen = self.file.stat()
        pid = self.process.pid
        return (
            self.process.poll(), self.file.read_text(), seen.st_mode, seen.st_mtime, seen.st_uid,
            os.listxattr(self.file), sorted(os.listdir(self.folder)), os.getpriority(os.PRIO_PROCESS, pid),
            os.sched_getaffinity(pid), os.sched_getscheduler(pid), resource.prlimit(pid, resource.RLIMIT_NOFILE),
            os.getpriority(os.PRIO_PROCESS, 0), resource.getrlimit(resource.RLIMIT_CPU),
        )  # fmt: skip

    def is_untouched(self) -> bool:
        return self._state() == self.before

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def outside(tmp_path) -> Iterator[Outside]:
    there = Outside(tmp_path)
    yield there
    there.close()


def moves(outside: Outside) -> st.SearchStrategy[str]:
    """One line of Python each."""
    pids = st.sampled_from(["0", "1", "-1", "os.getppid()", "os.getpid()", str(outside.process.pid), str(os.getpid())])
    paths = st.sampled_from(
        [str(outside.file), str(outside.folder), "/etc/passwd", "/tmp", "/tmp/x", ".", "..", "/proc/1/mem",
         "/proc/self/mem", f"/proc/{outside.process.pid}/mem", "/dev/shm/x", "/usr/x", "x", "/work", "a" * 300]
    ).map(repr)  # fmt: skip
    numbers = st.integers(0, 480)
    words = st.one_of(
        st.integers(-1, 64).map(str),
        pids,
        st.sampled_from(["1 << 31", "1 << 62", "-(1 << 63)"]),
        paths.map(lambda path: f"buffer({path}.encode())"),
    )
    calls = st.tuples(numbers, st.lists(words, min_size=6, max_size=6)).map(
        lambda drawn: f"libc.syscall({drawn[0]}, {', '.join(drawn[1])})"
    )
    signals = st.tuples(pids, st.sampled_from([0, 1, 9, 15, 19, 23])).map(lambda d: f"os.kill({d[0]}, {d[1]})")
    limits = pids.map(lambda pid: f"resource.prlimit({pid}, resource.RLIMIT_NOFILE, (3, 3))")
    tunes = pids.flatmap(
        lambda pid: st.sampled_from([
            f"os.setpriority(os.PRIO_PROCESS, {pid}, 19)", f"os.sched_setaffinity({pid}, {{0}})",
            f"os.sched_setscheduler({pid}, os.SCHED_BATCH, os.sched_param(0))", f"os.killpg({pid}, 9)",
            f"os.setpgid({pid}, 0)",
        ])
    )  # fmt: skip
    files = paths.flatmap(
        lambda path: st.sampled_from([
            f"os.chmod({path}, 0)", f"os.utime({path}, (5, 5))", f"os.setxattr({path}, 'user.x', b'1')",
            f"os.remove({path})", f"open({path}, 'w').write('x')", f"os.mkdir({path})", f"os.symlink('/etc', {path})",
            f"os.mkfifo({path})", f"os.chown({path}, 0, 0)", f"os.truncate({path}, 0)", f"os.rename({path}, 'y')",
            f"os.link({path}, 'z')", f"open({path}, 'rb').read(10)", f"os.chdir({path})", f"os.chroot({path})",
        ])
    )  # fmt: skip
    sockets = st.sampled_from([
        "socket.socket()", "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)", "socket.socketpair()",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "socket.create_connection(('127.0.0.1', 22))",
    ])  # fmt: skip
    lives = st.sampled_from([
        "os.fork()", "os.setsid()", "threading.Thread(target=time.sleep, args=(60,)).start()",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "os.execv('/bin/sh', ['sh', '-c', 'kill -9 -1'])", "os.close(1)", "os.abort()", "sys.setrecursionlimit(10**6)",
        "bytearray(1 << 27)", "os.write(2, b'x' * 100000)", "ctypes.string_at(0)",
    ])  # fmt: skip
    return st.one_of(calls, calls, signals, limits, tunes, files, sockets, lives)


def programs(outside: Outside) -> st.SearchStrategy[str]:
    lines = st.lists(moves(outside).map(lambda move: f"tried(lambda: {move})"), min_size=1, max_size=8)
    return lines.map(lambda drawn: _HEAD + "\n".join(drawn) + "\nprint(1)")


@pytest.mark.parametrize("name", KINDS)
def test_no_program_changes_what_is_outside_or_escapes_a_verdict(name, outside, for_a_while) -> None:
    confinement: Confinement = confinement_or_skip(name)
    judge = ProgramRunner(confinement=confinement, workers=1, limits=SMALL)

    def check(text: str) -> None:
        (verdict,) = judge.verdicts([Program("python", text, [Case("", "1")])])
        assert verdict.status in (Status.OK, Status.WRONG), verdict
        assert outside.is_untouched()

    old = signal.getsignal(signal.SIGTERM)
    for_a_while(check, programs(outside))
    assert signal.getsignal(signal.SIGTERM) is old
