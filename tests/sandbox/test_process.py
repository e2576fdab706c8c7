"""What programs do in the open, they do here behind each kind of walls; nothing of them is left."""

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

from afterbase.sandbox.confinement import Confinement, Limits
from afterbase.sandbox.program_run import work_dir
from afterbase.sandbox.python_calls import Reason
from confinements import SHORT, SMALL, confinement_or_skip, ended, skip_without_tools

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def test_what_a_program_prints_is_told_and_what_it_reads_is_given(confinement: Confinement) -> None:
    program = "import sys\nprint(sys.stdin.read().upper(), end='')\nprint('aside', file=sys.stderr)"
    told = ended(confinement, program, stdin="größe 🙂\n")
    assert (told.reason, told.status, told.stdout.decode(), told.stderr) == (Reason.OK, 0, "GRÖSSE 🙂\n", b"aside\n")


def test_a_long_input_that_nobody_reads_holds_nothing_up(confinement: Confinement) -> None:
    assert ended(confinement, "print(3)", stdin="x" * 5_000_000).stdout == b"3\n"


def test_bytes_pass_as_they_are(confinement: Confinement) -> None:
    assert ended(confinement, r"import os; os.write(1, b'\xff\0\r\n')").stdout == b"\xff\0\r\n"


def test_the_streams_can_be_opened_by_name(confinement: Confinement) -> None:
    told = ended(
        confinement, "read x < /dev/stdin; echo $x > /dev/stdout; echo b > /dev/stderr", language="bash", stdin="a\n"
    )
    assert (told.stdout, told.stderr) == (b"a\n", b"b\n")


def test_a_private_folder_can_be_written_and_is_new_each_time(confinement: Confinement) -> None:
    program = "import os\nos.chdir(os.environ['TMPDIR'])\nprint(os.listdir())\nopen('x', 'w').write('y')"
    for _ in range(2):
        assert ended(confinement, program).stdout == b"[]\n"


def test_a_program_inherits_three_streams_and_no_secret(
    confinement: Confinement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    told = ended(
        confinement,
        "import os\nprint([d for d in range(64) if os.path.exists(f'/proc/self/fd/{d}')])\nprint(*os.environ)",
    )
    assert told.stdout.splitlines()[0] == b"[0, 1, 2]"
    assert set(told.stdout.decode().splitlines()[1].split()) <= {
        "PATH", "HOME", "TMPDIR", "LANG", "PYTHONHASHSEED", "OPENSSL_CONF", "PWD", "LC_CTYPE", "MALLOC_ARENA_MAX",
    }  # fmt: skip


HOSTILE = {
    "fork bomb": ("while True: os.fork()", {Reason.CRASH}),
    "fork bomb that insists": (
        "while True:\n    try: os.fork()\n    except OSError: pass",
        {Reason.TIMEOUT},
    ),
    "threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
        {Reason.CRASH},
    ),
    "memory bomb": ("a = []\nwhile True: a.append('x' * 10 ** 6)", {Reason.MEMORY}),
    "memory bomb of many": (
        "a = []\nfor _ in range(4): os.fork()\nwhile True: a.append('x' * 10 ** 6)",
        {Reason.MEMORY},
    ),
    "shared memory": ("import mmap\nmmap.mmap(-1, 10 ** 6)", {Reason.CRASH}),
    "anonymous file": ("os.memfd_create('x')", {Reason.CRASH}),
    "endless print": ("while True: print('x' * 1000)", {Reason.OUTPUT}),
    "endless error": ("while True: os.write(2, b'x' * 1000)", {Reason.OUTPUT}),
    "huge file": ("f = open(tmp + '/x', 'wb')\nwhile True: f.write(b'x' * 10 ** 6)", {Reason.CRASH, Reason.OUTPUT}),
    "link to the shadows": ("os.symlink('/etc/shadow', tmp + '/x'); open(tmp + '/x')", {Reason.CRASH}),
    "passwords": ("open('/etc/passwd')", {Reason.CRASH}),
    "a change of itself": ("open(sys.argv[0], 'w')", {Reason.CRASH}),
    "a file of the system": ("open('/usr/x', 'w')", {Reason.CRASH}),
    "memory of another": ("open(f'/proc/{outside}/mem', 'rb')", {Reason.CRASH}),
    "environment of another": ("open(f'/proc/{outside}/environ', 'rb')", {Reason.CRASH}),
    "signal to another": ("os.kill(outside, 9)", {Reason.CRASH}),
    "kill everybody": ("os.kill(-1, 9)\nwhile True: pass", {Reason.CRASH, Reason.TIMEOUT}),
    "kill the parent": ("os.kill(os.getppid(), 9)\nos.abort()", {Reason.CRASH}),
    "kill itself": ("os.kill(os.getpid(), 9)", {Reason.CRASH}),
    "trace": ("import ctypes\nif ctypes.CDLL(None).ptrace(16, os.getppid()): raise OSError", {Reason.CRASH}),
    "limits of another": ("resource.prlimit(outside, resource.RLIMIT_NOFILE)", {Reason.CRASH}),
    "limits of the parent": ("resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))", {Reason.CRASH}),
    "priority of another": ("os.setpriority(os.PRIO_PROCESS, outside, 19)", {Reason.CRASH}),
    "priority of the user": ("os.setpriority(os.PRIO_USER, os.getuid(), 19)", {Reason.CRASH}),
    "processors of another": ("os.sched_setaffinity(outside, {0})", {Reason.CRASH}),
    "scheduler of another": ("os.sched_setscheduler(outside, os.SCHED_IDLE, os.sched_param(0))", {Reason.CRASH}),
    "mode of a file outside": ("os.chmod(theirs, 0)", {Reason.CRASH}),
    "times of a file outside": ("os.utime(theirs, (0, 0))", {Reason.CRASH}),
    "owner of a file outside": ("os.chown(theirs, os.getuid(), -1)", {Reason.CRASH}),
    "attribute of a file outside": ("os.setxattr(theirs, 'user.x', b'x')", {Reason.CRASH}),
    "pair of datagrams": ("import socket; socket.socketpair(type=socket.SOCK_DGRAM)", {Reason.CRASH}),
    "longer buffers": (
        "import socket\na, b = socket.socketpair()\na.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10 ** 7)",
        {Reason.CRASH},
    ),
    "descriptors in flight": (
        "import socket\na, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], [1])",
        {Reason.CRASH},
    ),
    "shared memory of System V": ("if libc.shmget(0, 4096, 0o1600) < 0: raise OSError", {Reason.CRASH}),
    "queue of System V": ("if libc.msgget(0, 0o1600) < 0: raise OSError", {Reason.CRASH}),
    "queue of POSIX": ("if libc.syscall(240, b'x', 0o102, 0o600, None) < 0: raise OSError", {Reason.CRASH}),
    "keys": ("if libc.syscall(250, 0, -3, 1) < 0: raise OSError", {Reason.CRASH}),
    "watching a folder": ("if libc.inotify_init() < 0: raise OSError", {Reason.CRASH}),
    "socket": ("import socket; socket.create_connection(('127.0.0.1', 22))", {Reason.CRASH}),
    "unix socket": ("import socket; socket.socket(socket.AF_UNIX)", {Reason.CRASH}),
    "namespace": ("import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError", {Reason.CRASH}),
    "session of its own": ("os.setpgid(0, 0) if os.fork() else os.setsid()", {Reason.CRASH}),
    "more of everything": ("import resource as r; r.setrlimit(r.RLIMIT_NPROC, (-1, -1))", {Reason.CRASH}),
    "recursion": ("f = lambda: f()\nf()", {Reason.CRASH}),
    "abort": ("os.abort()", {Reason.CRASH}),
    "exit": ("os._exit(3)", {Reason.CRASH}),
    "closed streams": ("os.closerange(0, 256); time.sleep(10 ** 6)", {Reason.TIMEOUT}),
    "deaf loop": (
        "import signal\nfor n in range(1, 64):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        {Reason.TIMEOUT},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs_end_for_the_right_reason(confinement: Confinement, name: str) -> None:
    deed, reasons = HOSTILE[name]
    head = "import ctypes, os, resource, sys, time\nlibc = ctypes.CDLL(None)\n"
    head += f"tmp, outside, theirs = os.environ['TMPDIR'], {os.getpid()}, {__file__!r}\n"
    assert ended(confinement, head + deed, limits=SHORT if Reason.TIMEOUT in reasons else SMALL).reason in reasons


def test_files_of_other_runs_are_not_seen(confinement: Confinement, tmp_path: Path) -> None:
    """The folder of a run that goes on at the same time, and a file of this test."""
    with work_dir() as other:
        (other.folder / "main.py").write_text("theirs")
        for path in (other.folder / "main.py", other.folder, tmp_path, Path("/tmp")):
            program = f"import os\ntry: print(os.listdir({str(path)!r}))\nexcept OSError: print('no')"
            assert ended(confinement, program).stdout in (b"no\n", b"[]\n")


def test_small_files_fill_a_folder_of_limited_size() -> None:
    confinement = confinement_or_skip("bubblewrap")
    program = "import os\nfor n in range(99): open(os.environ['TMPDIR'] + f'/{n}', 'wb').write(b'x' * 10 ** 6)"
    told = ended(confinement, program, limits=Limits(folder_bytes=4 << 20))
    assert told.reason is Reason.CRASH
    assert b"No space left" in told.stderr


@pytest.mark.parametrize("deed", ["pass", "os.remove(name)", "if os.fork(): os.wait(); os._exit(0)"])
def test_what_is_written_to_a_disk_is_bounded(deed: str) -> None:
    """Files that are there, that are open without a name, and those of many processes."""
    confinement = confinement_or_skip("landlock")
    with work_dir() as place:
        kind = subprocess.run(["stat", "-f", "-c", "%T", place.folder], capture_output=True, text=True, check=True)
    if kind.stdout.strip() in ("tmpfs", "ramfs", "overlayfs") or not Path("/proc/self/io").exists():
        pytest.skip("what is written here is counted by nobody")
    program = f"""
    import os
    files = []
    for n in range(10 ** 6):
        name = os.environ["TMPDIR"] + f"/{{n}}"
        files = [open(name, "wb"), *files[:99]]
        files[0].write(b"x" * (1 << 20))
        files[0].flush()
        {deed}
    """
    limits = Limits(folder_bytes=4 << 20, cpu_seconds=30, wall_seconds=60.0)
    assert ended(confinement, textwrap.dedent(program), limits=limits).reason is Reason.OUTPUT


def test_folders_that_their_owner_closed_are_cleared(confinement: Confinement) -> None:
    program = (
        "import os\nos.chdir(os.environ['TMPDIR'])\nfor _ in range(300): os.mkdir('d'); os.chdir('d')\nos.mkdir('e', 0)"
    )
    assert ended(confinement, program).reason is Reason.OK


def test_a_jail_that_cannot_be_built_is_our_fault(confinement: Confinement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afterbase.sandbox.confinement.program_filter", lambda **_: b"")
    assert ended(confinement, "print(3)").reason is Reason.SANDBOX


def test_processes_of_python_share_a_queue() -> None:
    """Behind bubblewrap alone: semaphores have names in /dev/shm."""
    program = """
    import multiprocessing
    with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, range(-9, 0))))
    """
    assert ended(confinement_or_skip("bubblewrap"), textwrap.dedent(program), limits=Limits()).stdout == b"45\n"


def test_a_long_output_is_in_the_pipe_at_once(confinement: Confinement) -> None:
    """As Node needs it, which drops the rest of it in process.exit."""
    program = "import fcntl\nprint(fcntl.fcntl(1, fcntl.F_GETPIPE_SZ))"
    assert int(ended(confinement, program).stdout) > 1 << 16


HARMLESS = {
    "asyncio": ("python", "import asyncio\nasync def f(): await asyncio.sleep(0)\nasyncio.run(f())\nprint(6)"),
    "subprocess": ("python", "import subprocess\nprint(subprocess.check_output(['echo', '6'], text=True))"),
    "threads": (
        "python",
        "import concurrent.futures as c\nwith c.ThreadPoolExecutor(4) as p: print(sum(p.map(int, '123')))",
    ),
    "signals": (
        "python",
        "import signal\nsignal.signal(14, lambda *_: print(6))\nsignal.setitimer(0, 0.01)\nsignal.pause()",
    ),
    "files": (
        "python",
        "import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    open(d + '/x', 'w').write('6')\n"
        "    f = open(d + '/x'); import mmap; print(mmap.mmap(f.fileno(), 0, prot=1)[:].decode())",
    ),
    "limits": ("python", "import resource as r\nr.setrlimit(r.RLIMIT_NOFILE, (9, 9))\nprint(6)"),
    "workers": (
        "javascript",
        "const w = require('worker_threads');\nif (w.isMainThread) new w.Worker(__filename).on('message', "
        "x => console.log(x)); else w.parentPort.postMessage(6)",
    ),
    "children": ("javascript", "require('child_process').exec('echo 6', (_, out) => console.log(out))"),
    "pipes": ("bash", "mkfifo $TMPDIR/p; echo 6 > $TMPDIR/p & cat $TMPDIR/p; wait"),
    "here and there": ("bash", "cat <(cat <<< 6); sleep 0 | true"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_run_times_need_is_there(confinement: Confinement, name: str) -> None:
    language, text = HARMLESS[name]
    skip_without_tools(language)
    told = ended(confinement, text, language=language, limits=Limits())
    assert (told.reason, told.stdout.strip(), told.stderr) == (Reason.OK, b"6", b"")


def test_modes_and_times_can_be_changed_behind_mounts() -> None:
    text = "cd $TMPDIR; touch -d @0 x; echo 'echo 6' > y; chmod +x y; ./y"
    assert ended(confinement_or_skip("bubblewrap"), text, language="bash").stdout == b"6\n"
