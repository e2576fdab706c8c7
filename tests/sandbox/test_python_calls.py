import os
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.sandbox.forks import fork_client as forks
from afterbase.sandbox.forks.fork_client import ForkLimits
from afterbase.sandbox.python_calls import CallRunner, Reason, Run, RunResult, missing_isolation


def children(parent: int) -> list[int]:
    """Process ids below a process, zombies too."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def sandbox() -> Iterator[CallRunner]:
    with CallRunner(
        workers=1, limits=ForkLimits(cpu_seconds=1, memory_bytes=96 << 20, output_bytes=1 << 16)
    ) as sandbox:
        yield sandbox


def run(sandbox: CallRunner, body: str, *arguments: object) -> RunResult:
    """One call of a function with this body and the parameter `x`."""
    program = "import os, sys\ndef f(*x):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return sandbox.run(program, "f", [list(arguments)])


def test_isolation_is_there() -> None:
    assert missing_isolation() is None


def test_results_are_plain_json_and_calls_share_a_process(sandbox: CallRunner) -> None:
    program = "seen = []\ndef f(x):\n    seen.append(x)\n    return {1: (x, None), 'seen': seen}"
    result = sandbox.run(program, "f", [[1], ["ä\ud800"]])
    assert result.reason is Reason.OK
    # The first result is as it was when it was given, though its list has grown since.
    assert result.results == [{"1": [1, None], "seen": [1]}, {"1": ["ä\ud800", None], "seen": [1, "ä\ud800"]}]


def test_the_standard_library_is_there_and_packages_are_not(sandbox: CallRunner) -> None:
    body = "import csv, hashlib, xml.dom; return hashlib.md5(b'').hexdigest()[:4]"
    assert run(sandbox, body).results == ["d41d"]
    assert run(sandbox, "import numpy").reason is Reason.CRASH


def test_the_same_program_draws_the_same_numbers(sandbox: CallRunner) -> None:
    body = "import random; return [random.random(), list({'a', 'b', 'c', 'd'})]"
    with CallRunner(workers=1) as other:
        assert run(sandbox, body) == run(sandbox, body) == run(other, body)


HOSTILE = {
    "fork bomb": ("while True: os.fork()", Reason.CRASH),
    "fork bomb that insists": (
        "for _ in range(1000):\n    try: os.fork()\n    except OSError: pass\nreturn object()",
        Reason.NOT_JSON,
    ),
    "thread": ("import threading; threading.Thread(target=print).start()", Reason.CRASH),
    "subprocess": ("import subprocess; return subprocess.run(['true']).returncode", Reason.CRASH),
    "exec": ("os.execv(sys.executable, ['python', '-c', ''])", Reason.CRASH),
    "kill everybody": ("os.kill(-1, 9)", Reason.CRASH),
    "kill the server": ("os.kill(os.getppid(), 9)", Reason.CRASH),
    "socket": ("import socket; socket.create_connection(('127.0.0.1', 22))", Reason.CRASH),
    "unix socket": ("import socket; socket.socketpair()", Reason.CRASH),
    "passwords": ("return open('/etc/passwd').read()", Reason.CRASH),
    "own memory map": ("return open('/proc/self/maps').read()", Reason.CRASH),
    "list the root": ("return os.listdir('/')", Reason.CRASH),
    "anonymous file": ("os.memfd_create('x')", Reason.CRASH),
    "more memory": ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", Reason.CRASH),
    "trace the server": ("import ctypes; 1 // (1 + ctypes.CDLL(None).ptrace(16, os.getppid()))", Reason.CRASH),
    "one big block": ("return len(bytearray(10 ** 12))", Reason.MEMORY),
    "memory bomb": ("a = []\nwhile True: a.append('x' * 10 ** 6)", Reason.MEMORY),
    "endless print": ("while True: print('x' * 1000)", Reason.OUTPUT),
    "endless error": ("while True: os.write(2, b'x' * 1000)", Reason.OUTPUT),
    "long result": ("return 'x' * 10 ** 6", Reason.OUTPUT),
    "endless loop": ("while True: pass", Reason.TIMEOUT),
    "endless loop behind a handler": (
        "import signal\nfor n in range(1, 64):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True:\n    try: 1 / 0\n    except BaseException: pass",
        Reason.TIMEOUT,
    ),
    "sys.exit": ("sys.exit(0)", Reason.CRASH),
    "os._exit": ("os._exit(0)", Reason.CRASH),
    "abort": ("os.abort()", Reason.CRASH),
    "bad pointer": ("import ctypes; ctypes.string_at(0)", Reason.CRASH),
    "recursion": ("return f()", Reason.CRASH),
    "closed pipes": ("import time; os.closerange(0, 64); time.sleep(10 ** 6)", Reason.CRASH),
    "standard input": ("return input()", Reason.CRASH),
    "no json": ("return object()", Reason.NOT_JSON),
    "circle": ("a = []; a.append(a); return a", Reason.NOT_JSON),
    "giant number": ("return 10 ** 5000", Reason.NOT_JSON),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_are_wrong_for_the_right_reason(sandbox: CallRunner, name: str) -> None:
    body, reason = HOSTILE[name]
    assert run(sandbox, body) == RunResult(reason=reason)


@pytest.mark.parametrize(
    ("program", "reason"),
    [("def f(:", Reason.COMPILE), ("\0", Reason.COMPILE), ("f = 1", Reason.CRASH), ("1 / 0", Reason.CRASH)],
)
def test_programs_that_never_get_to_the_call(sandbox: CallRunner, program: str, reason: Reason) -> None:
    assert sandbox.run(program, "f", [[]]).reason is reason


@pytest.mark.parametrize(
    "deed",
    [
        "open(path, 'w')",
        "os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))",
        "open(path + '.new', 'x')",
        "os.truncate(path, 0)",
        "os.remove(path)",
        "os.rename(path, path + '.new')",
        "os.chmod(path, 0)",
        "os.utime(path, (0, 0))",
        "os.symlink(path, path + '.new')",
        "os.link(path, path + '.new')",
        "os.mkdir(path + '.new')",
        "os.setxattr(path, 'user.x', b'')",
    ],
)
def test_nothing_outside_is_changed(sandbox: CallRunner, tmp_path: Path, deed: str) -> None:
    file = tmp_path / "file"
    file.write_text("as it was")
    before = file.stat()
    assert run(sandbox, f"path, = x\n{deed}", str(file)).reason is Reason.CRASH
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert (file.read_text(), file.stat().st_mode, file.stat().st_mtime_ns) == (
        "as it was",
        before.st_mode,
        before.st_mtime_ns,
    )


def test_a_sleeper_is_woken_by_the_wall_clock() -> None:
    with CallRunner(workers=1, limits=ForkLimits(wall_seconds=0.5)) as sandbox:
        assert run(sandbox, "import time; time.sleep(10 ** 6)").reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (b'{"reason": "ok", "results": [41]}', RunResult(reason=Reason.OK, results=[41])),  # an answer like any other
        (b'{"reason": "ok", "results": [41, 42]}', RunResult(reason=Reason.CRASH)),
        (b'{"reason": "ok", "results": 41}', RunResult(reason=Reason.CRASH)),
        (b'{"reason": "sandbox"}', RunResult(reason=Reason.CRASH)),  # or the answer would be masked out
        (b'{"reason": []}', RunResult(reason=Reason.CRASH)),
        (b"[]", RunResult(reason=Reason.CRASH)),
        (b"[" * 50_000, RunResult(reason=Reason.CRASH)),
        (b"\xff", RunResult(reason=Reason.CRASH)),
    ],
)
def test_a_forged_report_is_just_another_answer(sandbox: CallRunner, report: bytes, expected: RunResult) -> None:
    assert run(sandbox, f"os.write(3, {report!r}); os._exit(0)") == expected


@pytest.mark.parametrize(
    "trick",
    [
        "import json; json.dumps = lambda value: '42'",
        "import builtins; builtins.repr = builtins.str = lambda value: '42'",
        "sys.modules['__main__'].json = None",
        "sys.modules['__main__']._answer = None",
    ],
)
def test_a_spoilt_interpreter_does_not_outlive_its_program(sandbox: CallRunner, trick: str) -> None:
    run(sandbox, f"{trick}\nreturn 1")
    assert run(sandbox, "return 1") == RunResult(reason=Reason.OK, results=[1])


def test_no_process_is_left_behind() -> None:
    before = set(children(os.getpid()))
    with CallRunner(workers=2) as sandbox:
        bodies = ["os.fork()", "sys.exit(0)", "os.abort()", "os.closerange(0, 64); list(iter(int, 1))", "return 1"]
        sandbox.run_many([Run(program=f"import os, sys\ndef f():\n {b}", function="f", calls=[[]]) for b in bodies * 4])
        servers = set(children(os.getpid())) - before
        assert 1 <= len(servers) <= 2
        assert [children(server) for server in servers] == [[]] * len(servers)
    assert set(children(os.getpid())) <= before


def test_a_dead_server_is_replaced() -> None:
    before = set(children(os.getpid()))
    with CallRunner(workers=1) as sandbox:
        run(sandbox, "return 1")
        (server,) = set(children(os.getpid())) - before
        os.kill(server, signal.SIGKILL)
        assert run(sandbox, "return 2") == RunResult(reason=Reason.OK, results=[2])


def server_that(tmp_path: Path, does: str) -> Path:
    script = tmp_path / "server.py"
    script.write_text(f"import socket\ndoor = socket.socket(fileno=0)\n{does}")
    return script


def test_a_server_that_dies_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_SERVER", server_that(tmp_path, "door.send(b'ready'); door.recv(99)"))
    with CallRunner(workers=1) as sandbox:
        assert run(sandbox, "return 1") == RunResult(reason=Reason.SANDBOX)
    assert missing_isolation.__wrapped__() == "the sandbox does not start: the server is dead"


def test_a_server_without_walls_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "landlock: Function not implemented"
    monkeypatch.setattr(forks, "_SERVER", server_that(tmp_path, f"door.send(b'fault {why}')"))
    with CallRunner(workers=1) as sandbox, pytest.raises(UserError, match=why):
        run(sandbox, "return 1")
    assert missing_isolation.__wrapped__() == f"the sandbox does not start: {why}"
