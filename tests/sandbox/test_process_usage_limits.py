"""What a confined program uses: the time and memory of all its processes, and when it is late."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.sandbox.confinement import Confinement, Limits
from afterbase.sandbox.launcher_client import close_idle
from afterbase.sandbox.process import overdue
from afterbase.sandbox.python_calls import Reason
from confinements import SMALL, ended

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.parametrize("deed", ["pass", "os.closerange(0, 64)", "os.fork()", "signal.signal(15, signal.SIG_IGN)"])
def test_children_die_with_their_parent(confinement: Confinement, deed: str) -> None:
    program = f"""
    import os, signal, time
    print(3, flush=True)
    if os.fork() == 0:
        {deed}
        time.sleep(10 ** 6)
    """
    told = ended(confinement, textwrap.dedent(program))
    assert (told.reason, told.stdout) == (Reason.OK, b"3\n")


def test_processor_time_is_that_of_all_processes_those_that_are_gone_too(confinement: Confinement) -> None:
    """Six that take half of the time each, one after the other."""
    program = """
    import os, time
    for _ in range(6):
        if os.fork() == 0:
            while time.process_time() < 0.5: pass
            os._exit(0)
        os.wait()
    """
    assert (
        ended(confinement, textwrap.dedent(program), limits=replace(SMALL, wall_seconds=60.0)).reason is Reason.TIMEOUT
    )
    assert (
        ended(confinement, textwrap.dedent(program), limits=replace(SMALL, cpu_seconds=9, wall_seconds=60.0)).reason
        is Reason.OK
    )


def test_the_tables_of_pages_are_memory(confinement: Confinement) -> None:
    """A run-time that reserves addresses is not bound in them; reading a byte of each 2 MiB costs a table of 4 KiB."""
    program = """
    import mmap
    block = mmap.mmap(-1, 1 << 37, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    for place in range(0, 1 << 37, 2 << 20): block[place]
    """
    limits = replace(SMALL, address_bytes=None, cpu_seconds=9, wall_seconds=60.0)
    assert ended(confinement, textwrap.dedent(program), limits=limits).reason is Reason.MEMORY
    assert (
        ended(confinement, textwrap.dedent(program), limits=replace(limits, memory_bytes=1 << 30)).reason is Reason.OK
    )


def test_forty_threads_that_sleep_are_no_memory(confinement: Confinement) -> None:
    program = """
    import threading, time
    threads = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(40)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    assert ended(confinement, textwrap.dedent(program), limits=Limits()).reason is Reason.OK


@pytest.mark.parametrize(("megabytes", "reason"), [(100, Reason.OK), (132, Reason.MEMORY)])
def test_the_verdict_on_memory_is_by_the_peak_and_always_the_same(
    confinement: Confinement, megabytes: int, reason: Reason
) -> None:
    """What is held for a moment between two looks counts as what is held for long."""
    assert {ended(confinement, f"len(b'x' * ({megabytes} << 20))").reason for _ in range(5)} == {reason}


def test_a_first_thread_that_ends_hides_no_memory(confinement: Confinement) -> None:
    program = """
    import ctypes, threading, time
    def hold():
        time.sleep(0.1)
        block = b"x" * (200 << 20)
        time.sleep(1000)
    threading.Thread(target=hold).start()
    ctypes.CDLL(None).syscall(60, 0)
    """
    assert ended(confinement, textwrap.dedent(program)).reason is Reason.MEMORY


def test_what_lies_in_sockets_is_memory(confinement: Confinement) -> None:
    program = """
    import os, socket, time
    for _ in range(8):
        if os.fork() == 0:
            pairs = [socket.socketpair() for _ in range(120)]
            for ends in pairs:
                for end in ends:
                    end.setblocking(False)
                    try:
                        while True: os.write(end.fileno(), b"x" * 65536)
                    except BlockingIOError: pass
            time.sleep(1000)
    time.sleep(1000)
    """
    assert ended(confinement, textwrap.dedent(program), limits=Limits(memory_bytes=256 << 20)).reason is Reason.MEMORY


def test_children_that_nobody_waits_for_use_up_the_time(confinement: Confinement) -> None:
    """The kernel adds their time to nobody's."""
    program = """
    import os, signal, time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(8):
        child = os.fork()
        if child == 0:
            while time.process_time() < 0.5: pass
            os._exit(0)
        try: os.waitpid(child, 0)
        except ChildProcessError: pass
    print(6)
    """
    limits = replace(SMALL, cpu_seconds=2, wall_seconds=60.0)
    assert ended(confinement, textwrap.dedent(program), limits=limits).reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    "deed",
    [
        "while True: pass",
        "if os.fork() == 0:\n    while True: pass\nos.wait()\n1 / 0",
        "signal.signal(signal.SIGXCPU, lambda *_: 1 / 0)\nwhile True: pass",
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "os.kill(os.getpid(), signal.SIGXCPU)",
    ],
)
def test_who_is_ended_for_the_processor_time_is_late_whoever_sees_it_first(confinement: Confinement, deed: str) -> None:
    """The kernel, whose ticks may be some percent ahead of what was used, or the watch."""
    told = ended(confinement, f"import os, signal\n{deed}", limits=replace(SMALL, cpu_seconds=1, wall_seconds=60.0))
    assert told.reason is Reason.TIMEOUT


@pytest.fixture
def crowded() -> Iterator[None]:
    """One processor for this test and for twelve others that never rest."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    close_idle()
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(12)]
    yield
    for other in others:
        other.kill()
        other.wait()
    close_idle()
    os.sched_setaffinity(0, cores)


@pytest.mark.slow
def test_who_is_not_let_run_is_not_late(confinement: Confinement, crowded: None) -> None:
    """A third of a second of work takes four in a thirteenth of a processor, where two are given."""
    program = "import time\nwhile time.process_time() < 0.3: pass\nprint(6)"
    told = ended(confinement, program, limits=replace(SMALL, cpu_seconds=9, wall_seconds=2.0))
    assert (told.reason, told.stdout) == (Reason.OK, b"6\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "deed", ["time.sleep(1000)", "os.read(os.pipe()[0], 1)", "l = threading.Lock()\nl.acquire()\nl.acquire()"]
)
def test_who_sleeps_is_late_on_a_crowded_machine_too(confinement: Confinement, crowded: None, deed: str) -> None:
    limits = replace(SMALL, cpu_seconds=9, wall_seconds=2.0)
    assert ended(confinement, f"import os, threading, time\n{deed}", limits=limits).reason is Reason.TIMEOUT


@given(wall=st.floats(0.1, 100), elapsed=st.floats(0, 1000), share=st.floats(0, 1))
def test_only_a_command_s_own_time_makes_it_late(wall: float, elapsed: float, share: float) -> None:
    limits, waited = Limits(wall_seconds=wall), elapsed * share
    late = overdue(limits, elapsed, waited)
    assert (late is Reason.TIMEOUT) == (elapsed - waited > wall)
    assert late is not None or elapsed <= 4 * wall
    assert overdue(limits, elapsed, elapsed) in (None, Reason.SANDBOX)  # who never ran was never late
