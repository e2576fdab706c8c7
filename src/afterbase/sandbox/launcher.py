"""The small process from which commands are started, one after the other; it waits for each and says what it used.

Run as a script by a plain interpreter, with its end of a pair of sockets as stdin; one message asks for a command and
brings its descriptors, one says which process it is, and one at its end what all its processes used together. Why not
start commands from the process that wants them: the kernel hands a process's own peak of memory on to what it starts
(ru_maxrss of getrusage(2)), so behind a trainer of many gigabytes the peak of a program could not be told.

Whatever of a command outlives it comes to this process and is killed; all of it is, when whoever asked is gone.

Constants: linux/sched.h, linux/prctl.h.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
from afterbase.sandbox import kernel

MESSAGE_BYTES = 1 << 17
END, KILL = b"e", b"k"
"""Words of one byte while a command runs: SIGTERM, by which the supervisor ends it in order, and SIGKILL."""
_DESCRIPTORS = 16
_PR_SET_CHILD_SUBREAPER = 36
_CLONE3, _CLONE_INTO_CGROUP = 435, 0x200000000
_NOT_RUN = 127


def main() -> None:
    """Serve until the other end is closed."""
    link = socket.socket(fileno=os.dup(0))  # which no command inherits
    os.close(0)
    kernel.process_control("subreaper", _PR_SET_CHILD_SUBREAPER, 1)
    while True:
        message, descriptors, _, _ = socket.recv_fds(link, MESSAGE_BYTES, _DESCRIPTORS)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if not message:
            return
        if len(message) == 1:  # a word that came after the end
            continue
        try:
            first = _started(json.loads(message), descriptors)
        except OSError as error:
            link.send(json.dumps({"fault": str(error)}).encode())
            continue
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        link.send(json.dumps({"pid": first}).encode())
        used = _used_to_the_end(first, link)
        with contextlib.suppress(BrokenPipeError):  # whoever asked is gone
            link.send(json.dumps(used).encode())


def _started(request: dict, descriptors: list[int]) -> int:
    pid = _fork(request["cgroup"])
    if pid:
        return pid
    try:
        os.setsid()
        free = max(request["numbers"], default=2) + 1
        high = [fcntl(descriptor, F_DUPFD_CLOEXEC, free) for descriptor in descriptors]
        for descriptor, number in zip(high, request["numbers"], strict=True):
            os.dup2(descriptor, number)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(request["command"][0], request["command"], request["environment"])
    finally:
        os._exit(_NOT_RUN)


def _fork(cgroup: str | None) -> int:
    """A fork that is born in its control group: to move it there would make it wait for all of the machine's."""
    if cgroup is None:
        return os.fork()
    folder = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    arguments = struct.pack("11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, folder)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    pid = libc.syscall(_CLONE3, arguments, ctypes.c_size_t(len(arguments)))
    if pid:
        os.close(folder)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone into a control group")
    return pid


def _used_to_the_end(first: int, link: socket.socket) -> dict:
    """Wait for the command and all that it left; on word from the other end, or its silence, do not wait for it."""
    ended = os.pidfd_open(first)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(link, select.POLLIN)
    while ended not in (ready := {descriptor for descriptor, _ in poll.poll()}):
        if link.fileno() in ready:
            word = link.recv(1)
            os.kill(first, signal.SIGTERM if word == END else signal.SIGKILL)
            if not word:
                poll.unregister(link)
    os.close(ended)
    used, peak = 0.0, 0
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while left := children.read_text().split():
        for pid in map(int, left):
            if pid != first:  # it is over, and its end is told
                os.kill(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
            used += usage.ru_utime + usage.ru_stime
            peak = max(peak, usage.ru_maxrss << 10)
    return {"cpu_seconds": used, "peak_bytes": peak}


if __name__ == "__main__":
    main()
