"""Which confinement holds on this machine: found out by a program that tries to get out of it."""

import functools
import os
import sys

from afterbase.core.errors import UserError
from afterbase.sandbox import kernel
from afterbase.sandbox.confinement import Bubblewrap, Confinement, Landlock, Limits, Unconfined
from afterbase.sandbox.languages import SPELLINGS
from afterbase.sandbox.process import Ended
from afterbase.sandbox.program_run import ProgramRun, work_dir
from afterbase.sandbox.python_calls import Reason

_SIGNALS_STAY_INSIDE = 6  # the version of Landlock
_PROBE = """
import ctypes, os, resource, socket, time
outside = {outside}
libc = ctypes.CDLL(None)
def forks():
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(60)
def parent():
    if os.getppid() == 1:  # the first process of a namespace, which no signal from inside ends
        raise OSError
    os.kill(os.getppid(), 0)
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError
escapes = dict(
    files=lambda: os.listdir(outside), passwords=lambda: open("/etc/passwd").read(), network=socket.socket,
    signals=lambda: os.kill({pid}, 0), parent=parent,
    memory=lambda: open("/proc/{pid}/mem", "rb"), keeper=lambda: open("/proc/1/mem", "rb+"),
    limits=lambda: resource.prlimit(os.getppid() or {pid}, resource.RLIMIT_NOFILE),
    scheduling=lambda: os.setpriority(os.PRIO_PROCESS, os.getppid() or {pid}, 19),
    modes=lambda: os.chmod(outside, 0o700), times=lambda: os.utime(outside),
    attributes=lambda: os.setxattr(outside, "user.x", b"x"),
    local_sockets=lambda: socket.socket(socket.AF_UNIX), datagrams=lambda: socket.socketpair(type=socket.SOCK_DGRAM),
    shared_memory=lambda: call(29, 0, 4096, 0o1600), processes=forks, writing=lambda: open("/usr/afterbase", "w"),
)
for name, escape in escapes.items():
    try:
        escape()
    except OSError:
        continue
    print(name)
"""


@functools.cache
def find_confinement(*, unsafe: bool = False) -> Confinement:
    """The strongest confinement that holds here, or none if it may be `unsafe`.

    Raises UserError, with what stays open, if none holds.
    """
    if unsafe:
        return Unconfined()
    found_open = {kind.name: open_in(kind) for kind in (Bubblewrap(), Landlock())}
    for kind in (Bubblewrap(), Landlock()):
        if found_open[kind.name] is None:
            return kind
    raise UserError(
        "programs are run in isolation or not at all",
        got="; ".join(f"{name}: {escapes}" for name, escapes in found_open.items()),
        remedy="install bubblewrap, or use Linux 6.12 or later with Landlock; --unsafe runs programs in the open",
    )


def open_in(kind: Confinement) -> str | None:
    """None if a program that tries to get out cannot; otherwise what it found open, or why it could not be run."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return f"needs Linux on x86-64, this is {sys.platform} on {os.uname().machine}"
    if isinstance(kind, Landlock) and kernel.landlock_version() < _SIGNALS_STAY_INSIDE:
        return f"this kernel's version is {kernel.landlock_version()}, and 6 is needed"
    try:
        ended = _probed(kind)
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    if ended.reason is not Reason.OK:
        return f"a program cannot be run: {ended.stderr.decode(errors='replace').strip() or ended.reason}"
    escapes = ended.stdout.decode().split()
    return f"leaves open: {', '.join(escapes)}" if escapes else None


def _probed(kind: Confinement) -> Ended:
    with work_dir() as place, work_dir() as other:
        text = _PROBE.format(pid=os.getpid(), outside=repr(str(other.folder)))
        run = ProgramRun(language=SPELLINGS["python"], text=text, work_dir=place, confinement=kind, limits=Limits())
        run.fault_of_building()
        return run.ended("")
