import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from afterbase.sandbox import process_usage as samples
from afterbase.sandbox.process_usage import Samples


@contextmanager
def running(program: str) -> Iterator[Samples]:
    """A process that has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield Samples(process.pid)
        process.kill()


def test_memory_counts_all_processes_below_and_no_files() -> None:
    own = Samples(os.getpid())
    own.look()
    before = own.memory_bytes
    block = bytearray(64 << 20)
    own.look()
    assert 60 << 20 < own.memory_bytes - before < 70 << 20
    del block


def test_of_a_process_that_is_gone_there_is_nothing() -> None:
    nobody = Samples(2**22 + 1)
    nobody.look()
    assert (nobody.memory_bytes, nobody.cpu_seconds, nobody.kept_waiting_seconds) == (0, 0.0, 0.0)


def test_a_first_thread_that_is_gone_hides_no_memory() -> None:
    program = """
    import ctypes, threading, time
    def hold():
        block = bytearray(64 << 20)
        while open("/proc/self/stat").read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.001)
        print("ready", flush=True)
        time.sleep(1000)
    threading.Thread(target=hold).start()
    ctypes.CDLL(None).syscall(60, 0)
    """
    with running(program) as seen:
        seen.look()
        assert seen.memory_bytes > 64 << 20


def test_the_buffers_of_sockets_are_memory() -> None:
    program = """
    import socket, time
    pairs = [socket.socketpair() for _ in range(100)]
    print("ready", flush=True)
    time.sleep(1000)
    """
    with running(program) as seen:
        seen.look()
        assert seen.memory_bytes > 200 * 200_000


def test_a_parent_that_waits_for_none_hides_no_time_of_children() -> None:
    """The kernel forgets such children at once; those that were seen are not forgotten here."""
    program = """
    import os, signal, sys, time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        while time.process_time() < 0.3: pass
        print("ready", flush=True)
        time.sleep(1000)
    sys.stdin.readline()
    os.kill(child, 9)
    while os.path.exists(f"/proc/{child}"): time.sleep(0.001)
    print("gone", flush=True)
    time.sleep(1000)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        seen = Samples(process.pid)
        seen.look()
        process.stdin.write(b"\n")
        process.stdout.readline()
        seen.look()
        assert seen.cpu_seconds >= 0.25
        fresh = Samples(process.pid)
        fresh.look()
        assert fresh.cpu_seconds < 0.25
        process.kill()


def test_time_in_which_a_thread_could_have_run_is_the_machine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A toy clock and a toy kernel: the longest wait of each look counts, and no more of it than has passed."""
    clock, delays = iter([0.0, 1.0, 2.0, 3.0]), {"all": 0.0}
    monkeypatch.setattr(samples.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(samples, "_delay", lambda pid, task: delays["all"])
    seen = Samples(os.getpid())
    for delays["all"], told in ((0.5, 0.5), (9.0, 1.5), (9.25, 1.75)):
        seen.look()
        assert seen.kept_waiting_seconds == told
