import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.sandbox.forks import fork_client as module
from afterbase.sandbox.forks.fork_client import Fault, ForkLimits, ForkServer, Work
from afterbase.verify.maths import WORK as MATHS

CALLS = Work("afterbase.sandbox.forks.function_calls")
AMPLE = ForkLimits(cpu_seconds=20, wall_seconds=60.0, output_bytes=1 << 23)
# Looks through what is mapped around the heap's end and around every object. It is given the marker in two halves, or
# it would find its own request.
SCAN = """
import ctypes, gc
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = libc.memmem.restype = ctypes.c_void_p
libc.sbrk.argtypes = [ctypes.c_long]
libc.access.argtypes = [ctypes.c_void_p, ctypes.c_int]
libc.memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
def mapped(page):
    return libc.access(page, 0) == 0 or ctypes.get_errno() != 14  # EFAULT
def spans():
    seen = []
    for place in sorted({libc.sbrk(0) - 1, *map(id, gc.get_objects())}):
        if seen and place < seen[-1][1]:
            continue
        start = end = place // 4096 * 4096
        while mapped(start - 4096): start -= 4096
        while mapped(end): end += 4096
        seen.append((start, end))
    return seen
def f(first, second):
    first, second = first.encode(), second.encode()
    found = looked = 0
    for start, end in spans():
        looked += end - start
        while at := libc.memmem(start, end - start, first, len(first)):
            start = at + len(first)
            found += start + len(second) <= end and ctypes.string_at(start, len(second)) == second
    return found if looked > 1 << 20 else "looked at nothing"
"""


@pytest.fixture(scope="module")
def calls() -> Iterator[ForkServer]:
    server = ForkServer(CALLS)
    yield server
    server.close()


def calling(body: str, *arguments: object) -> dict[str, Any]:
    """A request: one call of a function with this body and the parameters `x`."""
    return {"program": f"import os, time\ndef f(*x):\n    {body}", "function": "f", "calls": [arguments]}


def reported(*results: str) -> bytes:
    return f'{{"reason": "ok", "results": [{", ".join(results)}]}}'.encode()


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("size", [1, 3_000_000])
def test_requests_and_reports_of_any_length_arrive(calls: ForkServer, size: int) -> None:
    with calls.serving() as forks:
        assert forks.run(calling("return x", "y" * size), AMPLE).report == reported(f'["{"y" * size}"]')


def test_no_program_finds_what_another_was_asked_or_has_answered(calls: ForkServer) -> None:
    halves = "6f1dc0dec0", "dec0dec0de"
    with calls.serving() as forks:
        secret = calling(f"return [{''.join(halves)!r} + str(n) for n in range(2000)]")
        assert "".join(halves).encode() in forks.run(secret, AMPLE).report
        found = forks.run({"program": SCAN, "function": "f", "calls": [halves]}, AMPLE).report
    assert found == reported("0")


def test_the_environment_of_a_fork_is_empty(calls: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_API_KEY", "x")
    with calls.serving() as forks:
        names = forks.run(calling("return sorted({*os.environ} - {'LC_CTYPE'})"), AMPLE).report
    assert names == reported('["OPENBLAS_NUM_THREADS", "PYTHONHASHSEED"]')


def test_a_fork_that_uses_up_its_own_time_is_late(calls: ForkServer) -> None:
    with calls.serving() as forks:
        assert forks.run(calling("time.sleep(10 ** 6)"), ForkLimits(wall_seconds=0.5)).fault is Fault.TIMEOUT
        assert forks.run(calling("while True: pass"), ForkLimits(cpu_seconds=1, wall_seconds=60)).fault is Fault.TIMEOUT


def burn() -> None:
    while True:
        pass


def test_a_fork_that_stands_in_the_queue_is_not_late() -> None:
    # Three busy processes share its one processor: what takes a tenth of a second of it takes several by the clock.
    work = "import time\ndef f():\n    end = time.process_time() + 0.4\n    while time.process_time() < end: pass"
    server = ForkServer(CALLS)
    before = os.sched_getaffinity(0)
    crowd = [multiprocessing.get_context("fork").Process(target=burn, daemon=True) for _ in range(3)]
    try:
        os.sched_setaffinity(0, {min(before)})
        with server.serving() as forks:
            for process in crowd:
                process.start()
            started = time.monotonic()
            ended = forks.run({"program": work, "function": "f", "calls": [[]]}, ForkLimits(wall_seconds=0.6))
            assert (ended.fault, time.monotonic() - started > 0.6) == (None, True)
    finally:
        os.sched_setaffinity(0, before)
        for process in crowd:
            process.kill()
            process.join()
        server.close()


def test_a_fork_that_did_not_get_its_time_is_the_machine_s_fault(
    calls: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module._Fork, "_queued", lambda _: float("inf"))
    monkeypatch.setattr(module, "_MOST_WALL", 2)
    with calls.serving() as forks:
        assert forks.run(calling("time.sleep(10 ** 6)"), ForkLimits(wall_seconds=0.2)).fault is Fault.SANDBOX


def test_a_fork_that_another_hand_kills_is_nobody_s_answer_s_fault(calls: ForkServer) -> None:
    ended = []
    with calls.serving() as forks:
        server = calls._process
        assert server is not None
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        thread = threading.Thread(target=lambda: ended.append(forks.run(calling("time.sleep(10 ** 6)"), AMPLE)))
        thread.start()
        wait_until(lambda: bool(children.read_text().split()))
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        thread.join()
        assert ended[0].fault is Fault.SANDBOX
        assert forks.run(calling("return 1"), AMPLE).report == reported("1")


ONE = {"kind": "compare", "box": "1", "texts": ["1", "1"]}


def die_while_holding(server: ForkServer) -> None:
    with server.serving() as forks, forks.holding({"kind": "gold", "answer": "1"}, AMPLE) as holder:
        process = server._process
        assert process is not None
        (held,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not alive(held))
        holder.run(ONE, AMPLE)


def test_a_dead_server_takes_its_forks_along_and_is_replaced() -> None:
    server = ForkServer(MATHS)
    try:
        with pytest.raises(ChildProcessError):
            die_while_holding(server)
        assert server._process is None
        with server.serving() as forks, forks.holding({"kind": "gold", "answer": "1"}, AMPLE) as holder:
            assert holder.told.report == b'{"readable": true}'
            assert holder.run(ONE, AMPLE).report == b'{"match": true}'
    finally:
        server.close()


def test_nothing_is_left_when_a_server_is_closed() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    server = ForkServer(CALLS)
    with server.serving() as forks:
        forks.run(calling("os.closerange(0, 64)"), AMPLE, count_output=True)
        process = server._process
    server.close()
    assert process is not None
    assert not alive(process.pid)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "server.py"
    script.write_text("import socket\nsocket.socket(fileno=0).send(b'fault no such luck')")
    monkeypatch.setattr(module, "_SERVER", script)
    with pytest.raises(UserError, match="no such luck"), ForkServer(CALLS).serving():
        pass
