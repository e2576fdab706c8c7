"""A clean fork server: it loads what its work needs, locks itself up, and forks once for each order.

Run as a script by a plain interpreter without site packages. It is never told what its forks are asked or answer: an
order brings descriptors alone, and a fork reads its own request and writes its own report, so nothing of an earlier
fork is in the memory of a later one. A fork may also be told to hold: it reads what the answers to come have in common
(a right answer, a data set), and is then a server itself.

Three things confine a fork, and each would do for most of what it may try:

* Landlock and an empty capability set, taken on by the server itself before it takes an order: of files it reads the
  standard library, and the packages that its work has loaded; it writes nothing, has no TCP, signals nobody outside.
* seccomp on the server: besides what a fork may do, it makes forks, waits for them, and speaks on its one socket.
* seccomp in each fork, as an allow-list of system calls: no new process or thread, no exec, no socket, no signal, no
  file opened for writing, no change of limits. Everything else answers EPERM, a foreign architecture is killed.

Does not cover: existence and size of files outside (`stat` stays allowed), time and memory spent inside the limits,
bugs of the kernel, and machines other than Linux on x86-64.

Orders and what is answered to them: see `fork_client.py`. Constants: linux/prctl.h, linux/sched.h.
"""

import fcntl
import gc
import importlib
import json
import os
import random
import resource
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

sys.path.append(str(Path(__file__).parents[3]))  # only for this, or programs could read the package
from afterbase.sandbox import kernel

sys.path.pop()

_STANDARD = [folder for folder in sys.path if os.path.isdir(folder)]
_PR_SET_PDEATHSIG = 1
READY, FAULT, END = b"ready", b"fault ", b"end"
STARTED = struct.Struct("i")  # a fork's process
ENDED = struct.Struct("id?")  # its wait status, its processor seconds, and whether its asker had it killed
_NOWHERE, _REPORT, _REQUEST, _ORDERS = 0, 3, 4, 5  # a fork's descriptors; 1 and 2 take what is printed

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
_ALLOWED_TO_SERVERS = {
    "dup2": 33, "sendmsg": 46, "sendto": 44, "recvmsg": 47, "recvfrom": 45, "wait4": 61, "kill": 62,
    "getsockname": 51, "getsockopt": 55, "gettimeofday": 96, "prctl": 157, "setrlimit": 160, "set_robust_list": 273,
    "prlimit64": 302, "seccomp": 317, "pidfd_open": 434, "close_range": 436,
}  # fmt: skip
# System calls with a second argument out of a list: TCGETS, TIOCGWINSZ, FIOCLEX; F_GETFD, F_SETFD, F_GETFL,
# F_DUPFD_CLOEXEC, for servers F_DUPFD. Without the lists F_SETOWN could have the kernel signal another process.
_ALLOWED_COMMANDS = {16: (0x5401, 0x5413, 0x5451), 72: (1, 2, 3, 1030)}
_OPENAT, _WRITING = 257, os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONE, _FORK = 56, 0x01200011  # SIGCHLD, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID: a process, and in no new namespace


def confine() -> None:
    """No new privileges, no capabilities; readable are the standard library and the loaded packages, and no more."""
    loaded = {name.partition(".")[0] for name in sys.modules} - {"afterbase"} - sys.stdlib_module_names
    packages = [folder for name in sorted(loaded) for folder in getattr(sys.modules.get(name), "__path__", ())]
    kernel.drop_privileges()
    kernel.landlock((folder, kernel.READ_FILES) for folder in [*_STANDARD, *packages] if os.path.isdir(folder))
    kernel.load_filter(seccomp_filter(server=True))


def seccomp_filter(*, server: bool = False) -> bytes:
    """The allow-list as a classic BPF program over struct seccomp_data; what it does not name answers EPERM."""
    code = [*kernel.ONLY_X86_64]
    for number in {*_ALLOWED.values(), *(_ALLOWED_TO_SERVERS.values() if server else ())}:
        code += [(kernel.EQUAL, 0, 1, number), kernel.ALLOW]
    if server:
        code += [(kernel.EQUAL, 0, 3, _CLONE), kernel.argument(0), (kernel.EQUAL, 0, 1, _FORK), kernel.ALLOW]
        code += [(kernel.EQUAL, 0, 1, _CLONE), kernel.REFUSE]
    code += [(kernel.EQUAL, 0, 4, _OPENAT), kernel.argument(2), (kernel.ANY_BIT, 0, 1, _WRITING)]
    code += [kernel.REFUSE, kernel.ALLOW]
    for number, commands in _ALLOWED_COMMANDS.items():
        listed = (*commands, fcntl.F_DUPFD) if server and number == 72 else commands
        checks = [step for command in listed for step in ((kernel.EQUAL, 0, 1, command), kernel.ALLOW)]
        code += [(kernel.EQUAL, 0, 2 + len(checks), number), kernel.argument(1), *checks, kernel.REFUSE]
    return kernel.assembled([*code, kernel.REFUSE])


def _enter(order: dict[str, Any], sources: list[int]) -> None:
    """In the fork: no descriptor but the order's, and the limits."""
    kernel.process_control("parent's death", _PR_SET_PDEATHSIG, signal.SIGKILL)
    noise, *others = [fcntl.fcntl(source, fcntl.F_DUPFD, 64) for source in sources]  # out of each other's way
    placed = [noise, noise, *others]
    for target, source in enumerate(placed, start=1):
        os.dup2(source, target)
    os.closerange(1 + len(placed), 1024)
    memory, cpu = order["memory_bytes"], order["cpu_seconds"]
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_AS, memory, memory),
        # SIGXCPU first, which tells the reason; a second later SIGKILL for those who ignore it.
        (resource.RLIMIT_CPU, cpu, cpu + 1),
    ):
        resource.setrlimit(what, (soft, hard))


def _request() -> dict[str, Any]:
    text = bytearray()
    while chunk := os.pread(_REQUEST, 1 << 20, len(text)):
        text += chunk
    os.close(_REQUEST)
    return json.loads(text)


def _write(message: bytes) -> None:
    while message:
        message = message[os.write(_REPORT, message) :]


def _answer(work: Any, held: Any, seccomp: bytes) -> None:
    """In the fork. The first byte says that it is confined; without it nothing was run."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    kernel.load_filter(seccomp)
    random.seed(0)  # a verdict on the same answer is the same (a fork seeds itself anew)
    _write(b"+")
    try:
        request = _request()
    except MemoryError:
        _write(work.OUT_OF_MEMORY)
        return
    _write(work.answer(held, request))


def _hold(work: Any, seccomp: bytes) -> None:
    """In the fork: take in what the order's own forks will have in common, tell of it, and serve."""
    held, told = work.hold(_request())
    _write(b"+" + told)
    os.dup2(_NOWHERE, _REPORT)
    gc.freeze()
    serve(socket.socket(fileno=_ORDERS), work, held, seccomp)


def _fork(order: dict[str, Any], sources: list[int], work: Any, held: Any, seccomp: bytes) -> NoReturn:
    try:
        _enter(order, sources)
        if order["hold"]:
            _hold(work, seccomp)
        else:
            _answer(work, held, seccomp)
    finally:
        os._exit(0)


def serve(orders: socket.socket, work: Any, held: Any, seccomp: bytes) -> None:
    """Take orders one after the other until the other side closes its end."""
    while True:
        message, sources, *_ = socket.recv_fds(orders, 1 << 10, 4)
        if not message:
            return
        if message == END:
            continue  # the fork it was meant for had ended by itself
        pid = os.fork()
        if pid == 0:
            _fork(json.loads(message), sources, work, held, seccomp)
        for source in sources:
            os.close(source)
        orders.send(STARTED.pack(pid))
        killed = _wait(pid, orders)
        _, status, usage = os.wait4(pid, 0)
        orders.send(ENDED.pack(status, usage.ru_utime + usage.ru_stime, killed))


def _wait(pid: int, orders: socket.socket) -> bool:
    """Until the fork has ended, or its asker has had enough of it or is gone; whether it lived then, and was killed."""
    poll, process = select.poll(), os.pidfd_open(pid)
    poll.register(process, select.POLLIN)
    poll.register(orders, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll()}
    os.close(process)
    killed = process not in ready
    if killed:
        os.kill(pid, signal.SIGKILL)
    if orders.fileno() in ready and orders.recv(1 << 10) != END:
        os._exit(1)
    return killed


def main() -> None:
    """Load, lock up, and serve the socket that is standard input; arguments: module, kind of work, package folders."""
    module, kind, *packages = sys.argv[1:]
    orders = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), _NOWHERE)
    sys.path.append(str(Path(__file__).parents[3]))
    work = importlib.import_module(module)
    sys.path[:] = [*_STANDARD, *packages]
    try:
        if os.uname().machine != "x86_64":
            raise OSError(0, f"the system calls of {os.uname().machine} are not known here")
        work.load(kind)
        confine()
    except OSError as error:
        orders.send(FAULT + str(error.strerror).encode())
        return
    gc.collect()
    gc.freeze()
    seccomp = seccomp_filter()
    orders.send(READY)
    serve(orders, work, None, seccomp)


if __name__ == "__main__":
    main()
