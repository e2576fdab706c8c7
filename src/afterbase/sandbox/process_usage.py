"""What a command's processes hold and use, looked at in /proc from time to time.

Memory is what is not a file's, tables of pages included, and what the buffers of sockets may hold, of which no process
is told to be the owner. What is written is what the kernel counts for the disk: what lies in a file system in memory is
not, nor are the names of empty files. What is taken between two looks is not seen here, nor the time of a process that
lives between two looks and whose parent does not wait for it: kernels with control groups tell both (`cgroups.py`).

Sources: proc(5), Documentation/scheduler/sched-stats.rst of Linux.
"""

import os
import re
import time

# With the tables of pages: those of terabytes that are reserved and only read fill a machine's memory alone.
_HELD = re.compile(rb"^(?:RssAnon|VmSwap|VmPTE):\s*([0-9]+) kB$", re.MULTILINE)
_SOCKET_BYTES = 212_992  # net.core.wmem_default of Linux; no program may ask for more
_FEW_DESCRIPTORS = 8
_MANY_DESCRIPTORS = 256
_HIDDEN = (FileNotFoundError, ProcessLookupError)  # a process that ends while it is looked at


class Samples:
    """The looks at a process and all below it."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._at = time.monotonic()
        self._delays: dict[tuple[int, int], float] = {}
        self._seconds: dict[tuple[int, int], float] = {}
        self._written: dict[tuple[int, int], int] = {}
        self.memory_bytes = 0
        self.cpu_seconds = 0.0
        """The greater of two: what live processes and those they waited for used; what all seen used themselves."""
        self.written_bytes = 0
        """To the disk, by all seen; what a process waited for has written is counted for it, too, once it is over."""
        self.kept_waiting_seconds = 0.0
        """How long the command could have run and was not let: at each look, the thread that waited longest."""

    def look(self) -> None:
        """Look at all processes once."""
        now = time.monotonic()
        memory, seconds, delays, waiting = 0, 0.0, {}, [self._first]
        while waiting:
            pid = waiting.pop()
            try:
                tasks = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
                memory += _memory(pid, tasks) + _buffers(pid, tasks)
                started, own, waited_for = _seconds(pid)
                self._seconds[pid, started] = own
                self._written[pid, started] = _written(pid)
                seconds += own + waited_for
                for task in tasks:
                    delays[task, started] = _delay(pid, task)
                    waiting += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
            except _HIDDEN:
                continue
        new = max((delay - self._delays.get(task, 0.0) for task, delay in delays.items()), default=0.0)
        self.kept_waiting_seconds += min(new, now - self._at)
        self._at, self._delays, self.memory_bytes = now, delays, memory
        self.written_bytes = sum(self._written.values())
        self.cpu_seconds = max(self.cpu_seconds, seconds, sum(self._seconds.values()))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _memory(pid: int, tasks: list[int]) -> int:
    """A process whose first thread is gone tells nothing; its other threads do."""
    for task in (pid, *tasks):
        held = _HELD.findall(_read(f"/proc/{pid}/task/{task}/status"))
        if held:
            return sum(map(int, held)) << 10
    return 0


def _buffers(pid: int, tasks: list[int]) -> int:
    """What its sockets' buffers may hold."""
    folder = f"/proc/{pid}/fd"
    if 0 < os.stat(folder).st_size <= _FEW_DESCRIPTORS:  # the number of descriptors, since Linux 6.2
        return 0
    try:
        sockets = 0
        for name in os.listdir(folder):
            try:
                sockets += os.readlink(f"{folder}/{name}").startswith("socket:")
            except FileNotFoundError:
                continue
    except PermissionError:  # one that is at its end has none; one that hides them, as if all were sockets
        sockets = _MANY_DESCRIPTORS if _memory(pid, tasks) else 0
    return sockets * _SOCKET_BYTES


def _seconds(pid: int) -> tuple[int, float, float]:
    """When it began; its own seconds, and those of the children that it waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    user, system, user_below, system_below = (int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15])
    return int(fields[19]), user + system, user_below + system_below


def _written(pid: int) -> int:
    """Bytes for the disk, of its own and of the children that it waited for; 0 where the kernel does not tell."""
    try:
        fields = dict(line.split(b": ") for line in _read(f"/proc/{pid}/io").splitlines())
    except (*_HIDDEN, PermissionError):
        return 0
    return int(fields[b"write_bytes"]) - int(fields[b"cancelled_write_bytes"])


def _delay(pid: int, task: int) -> float:
    """Seconds in which a thread could have run and another had the processor; 0 where the kernel does not tell."""
    try:
        return int(_read(f"/proc/{pid}/task/{task}/schedstat").split()[1]) / 1e9
    except _HIDDEN:
        return 0.0
