"""The fork server of the sandbox: one line of JSON in, one forked and locked-up program, one line of JSON out.

Run as a script by a plain interpreter without site packages; of afterbase it imports the walls alone, so a fork is
small and holds nothing worth reading. Two walls stand around a program, and each would do for most of what it may try:

* Landlock and an empty capability set, taken on by the server itself before it reads a request: the standard library
  can be read, nothing can be written, no TCP, no signal leaves the server.
* seccomp in each fork, as an allow-list of system calls: no new process or thread, no exec, no socket, no signal, no
  file opened for writing, no change of limits. Everything else answers EPERM, a foreign architecture is killed.

Does not cover: existence and size of files outside (`stat` stays allowed), time and memory spent inside the limits,
bugs of the kernel, and machines other than Linux on x86-64.
"""

import gc
import importlib
import json
import os
import random
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # only for this, or programs could read the package
from afterbase.verify import walls

sys.path.pop()

# What programs import most: loaded once here rather than in every fork, and before Landlock hides shared libraries.
_PRELOADED = """bisect collections collections.abc copy cmath datetime dataclasses decimal enum fractions functools
hashlib heapq itertools math operator re statistics string textwrap typing"""

_ALLOWED = {
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "readv": 19, "writev": 20, "access": 21, "select": 23, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "dup": 32, "nanosleep": 35, "getpid": 39, "exit": 60, "uname": 63, "getcwd": 79, "readlink": 89,
    "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107,
    "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202,
    "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "exit_group": 231, "newfstatat": 262, "readlinkat": 267, "faccessat": 269,
    "pselect6": 270, "getrandom": 318, "statx": 332, "rseq": 334, "faccessat2": 439,
}  # fmt: skip
# System calls with a second argument out of a list: TCGETS, TIOCGWINSZ, FIOCLEX; F_GETFD, F_SETFD, F_GETFL,
# F_DUPFD_CLOEXEC. Without the lists F_SETOWN could have the kernel signal another process.
_ALLOWED_COMMANDS = {16: (0x5401, 0x5413, 0x5451), 72: (1, 2, 3, 1030)}
_OPENAT, _WRITING = 257, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def confine() -> None:
    """No new privileges, no capabilities, and Landlock: this process may read the standard library and nothing else."""
    walls.drop_privileges()
    walls.landlock((folder, walls.READ_FILES) for folder in filter(os.path.isdir, sys.path))


def seccomp_filter() -> bytes:
    """The allow-list as a classic BPF program over struct seccomp_data; what it does not name answers EPERM."""
    code = [*walls.ONLY_X86_64]
    for number in _ALLOWED.values():
        code += [(walls.EQUAL, 0, 1, number), walls.ALLOW]
    code += [(walls.EQUAL, 0, 4, _OPENAT), walls.argument(2), (walls.ANY_BIT, 0, 1, _WRITING)]
    code += [walls.REFUSE, walls.ALLOW]
    for number, commands in _ALLOWED_COMMANDS.items():
        checks = [step for command in commands for step in ((walls.EQUAL, 0, 1, command), walls.ALLOW)]
        code += [(walls.EQUAL, 0, 2 + len(checks), number), walls.argument(1), *checks, walls.REFUSE]
    return walls.assembled([*code, walls.REFUSE])


def _enter(request: dict, nowhere: int, noise: int, report: int, seccomp: bytes) -> None:
    """In the fork: only 0 to 3 stay open, then the limits, then the filter."""
    for source, target in ((nowhere, 0), (noise, 1), (noise, 2), (report, 3)):
        os.dup2(source, target)
    os.closerange(4, 1024)
    limits = request["limits"]
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NOFILE, 32, 32),
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        # SIGXCPU first, which tells the reason; a second later SIGKILL for those who ignore it.
        (resource.RLIMIT_CPU, limits["cpu_seconds"], limits["cpu_seconds"] + 1),
    ):
        resource.setrlimit(what, (soft, hard))
    walls.load_filter(seccomp)


def _run(request: dict) -> bytes:
    """The program's report. Each result is written down at once: a later call may not change an earlier answer."""
    try:
        code = compile(request["program"], "<program>", "exec")
    except Exception:
        return b'{"reason": "compile"}'
    namespace: dict[str, Any] = {"__name__": "program"}
    results = []
    try:
        exec(code, namespace)
        function = namespace[request["function"]]
        for arguments in request["calls"]:
            value = function(*arguments)
            try:
                results.append(json.dumps(value))
            except (TypeError, ValueError, RecursionError):
                return b'{"reason": "not_json"}'
    except MemoryError:
        return b'{"reason": "memory"}'
    except BaseException:
        return b'{"reason": "crash"}'
    return b'{"reason": "ok", "results": [' + ", ".join(results).encode() + b"]}"


def _program(request: dict, nowhere: int, noise: int, report: int, seccomp: bytes) -> None:
    """In the fork, never to return. The first byte says that the walls stand; without it nothing was run."""
    try:
        _enter(request, nowhere, noise, report, seccomp)
        random.seed(0)  # a verdict on the same program is the same (a fork seeds itself anew)
        os.write(3, b"+")
        message = _run(request)
        while message:
            message = message[os.write(3, message) :]
    finally:
        os._exit(0)


def _watch(pid: int, report: int, noise: int, request: dict) -> dict:
    """Read what the program writes until it ends, is late or too loud; then kill and reap it."""
    limits = request["limits"]
    deadline = time.monotonic() + limits["wall_seconds"]
    poll, open_pipes, texts = select.poll(), {report, noise}, {report: bytearray(), noise: bytearray()}
    for pipe in open_pipes:
        poll.register(pipe, select.POLLIN)
    fault = None
    while open_pipes and fault is None:
        events = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not events:
            fault = "timeout"
        for pipe, _ in events:
            chunk = os.read(pipe, 1 << 16)
            texts[pipe] += chunk
            if not chunk:
                poll.unregister(pipe)
                open_pipes.remove(pipe)
            elif len(texts[pipe]) > limits["output_bytes"]:
                fault = "output"
    # A program that closed its pipes and lives on has nothing more to say. It is alone: it could not fork.
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    os.close(report)
    os.close(noise)
    message = texts[report]
    if message[:1] != b"+":
        return {"reason": "sandbox"}
    out_of_time = os.WTERMSIG(status) == signal.SIGXCPU or usage.ru_utime + usage.ru_stime > limits["cpu_seconds"]
    if fault is None and len(message) == 1 and out_of_time:
        fault = "timeout"
    return {"reason": fault} if fault else {"report": message[1:].decode(errors="replace")}


def _answer(line: bytes, nowhere: int, seccomp: bytes) -> dict:
    request = json.loads(line)
    report, report_end = os.pipe()
    noise, noise_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _program(request, nowhere, noise_end, report_end, seccomp)
    os.close(report_end)
    os.close(noise_end)
    return _watch(pid, report, noise, request)


def main() -> None:
    """Serve until the standard input ends."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    seccomp = seccomp_filter()
    for name in _PRELOADED.split():
        importlib.import_module(name)
    try:
        if os.uname().machine != "x86_64":
            raise OSError(0, f"the system calls of {os.uname().machine} are not known here")
        confine()
    except OSError as error:
        os.write(1, json.dumps({"fault": str(error.strerror)}).encode() + b"\n")
        return
    gc.collect()
    gc.freeze()
    os.write(1, b'{"ready": true}\n')
    for line in sys.stdin.buffer:
        answer = json.dumps(_answer(line, nowhere, seccomp)).encode() + b"\n"
        while answer:
            answer = answer[os.write(1, answer) :]


if __name__ == "__main__":
    main()
