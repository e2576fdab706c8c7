"""How a command is confined: by bubblewrap, by Landlock and seccomp, or not at all.

Each kind turns a command into a longer one that confines it, runs it and tells of its end on a status descriptor, as
bubblewrap does. Inside there is a read-only system without /home and most of /etc, the program's folder, and one folder
to write in; no network and none of the machine's processes.

Where this process is root, commands run as another user: limits on processes do not bind root.

Does not cover: machines other than Linux on x86-64; what each kind keeps out is told in docs/sandbox.md.
"""

import json
import os
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from afterbase.sandbox import kernel
from afterbase.sandbox.seccomp import program_filter

SCRATCH = ".tmp"  # no name of a Java package, whose folder stands beside it
_ETC = ("alternatives", "ld.so.cache", "mono", "php", *(f"java-{n}-openjdk" for n in (11, 17, 21, 25)))
_READ_FILE = 1 << 2  # LANDLOCK_ACCESS_FS_READ_FILE
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one command may use; all but `address_bytes` and `file_bytes` are of all its processes together."""

    cpu_seconds: int = 6
    wall_seconds: float = 15.0
    memory_bytes: int = 512 << 20
    stack_bytes: int = 256 << 20
    """Of each process's first thread; the C library reserves as much for each of the others."""
    address_bytes: int | None = 17 << 30
    """Of each process, so that 64 stacks find room; None for run-times that reserve far more than they use."""
    processes: int = 64
    """Threads count."""
    file_bytes: int = 32 << 20
    folder_bytes: int = 64 << 20
    """Of the folder to write in."""
    output_bytes: int = 8 << 20
    """Of stdout, and of stderr."""


@dataclass(frozen=True, kw_only=True)
class WorkDir:
    """Where a command runs: the program's folder, and the user that owns it (None: this process's own)."""

    folder: Path
    user: int | None
    prefixes: Sequence[str] = ()
    """Folders outside /usr that hold the language's tools."""


@dataclass(frozen=True, kw_only=True)
class Confined:
    """The longer command. `descriptors` are what it inherits, and the caller's to close."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()


class Confinement(Protocol):
    """One kind of confinement."""

    name: str

    def inside(self, work_dir: WorkDir) -> str:
        """The path of the program's folder as the command sees it."""
        ...

    def confined(
        self, command: Sequence[str], work_dir: WorkDir, limits: Limits, *, building: bool, status: int
    ) -> Confined:
        """`building`: the command may write into the program's folder, else only into a folder of its own."""
        ...


def reachable(path: Path) -> bool:
    """Whether a command of a run may read what is below a folder: as another user, if this process is root."""
    if os.geteuid() != 0:
        return os.access(path, os.R_OK | os.X_OK)
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


def environment(home: str) -> dict[str, str]:
    """All that a program finds in its environment; hashes are fixed, so that a verdict on it is the same.

    The C library would reserve 64 MiB of addresses for each thread, and 16 threads would be all.
    """
    path = "/usr/local/bin:/usr/bin:/bin"
    fixed = {"LANG": "C.UTF-8", "PYTHONHASHSEED": "0", "OPENSSL_CONF": os.devnull, "MALLOC_ARENA_MAX": "2"}
    return {"PATH": path, "HOME": home, "TMPDIR": home, **fixed}


def resource_limits(limits: Limits) -> dict[str, tuple[int, int]]:
    """By the names of getrlimit(2).

    That on processor time is the second wall, a second behind the one that is watched: the kernel counts in ticks for
    it, up to some percent more than was used, and who is killed below the limit would not be known to be late. SIGXCPU
    comes first, SIGKILL two seconds later for those who ignore it.
    """
    # A user whose own limit is lower cannot raise it.
    stack = min(limits.stack_bytes, resource.getrlimit(resource.RLIMIT_STACK)[1] % 2**64)
    out = {
        "STACK": (stack, stack),
        "CPU": (limits.cpu_seconds + 1, limits.cpu_seconds + 3),
        "FSIZE": (limits.file_bytes, limits.file_bytes),
        "NOFILE": (256, 256),
        "NPROC": (limits.processes, limits.processes),
        "CORE": (0, 0),
    }
    if limits.address_bytes is not None:
        out["AS"] = (limits.address_bytes, limits.address_bytes)
    return out


class Bubblewrap:
    """Namespaces of its own for users, processes, network, mounts, IPC and host name, and the seccomp filter."""

    name = "bubblewrap"

    def inside(self, work_dir: WorkDir) -> str:
        return "/work"

    def confined(
        self, command: Sequence[str], work_dir: WorkDir, limits: Limits, *, building: bool, status: int
    ) -> Confined:
        seccomp = os.memfd_create("seccomp")
        os.write(seccomp, program_filter(own_files=True))
        os.lseek(seccomp, 0, os.SEEK_SET)
        spaces = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        # As root no user namespace is needed, and in one the limit on processes would not bind.
        spaces += ["--unshare-user"] if work_dir.user is None else ["--cap-drop", "ALL", *_CAN_CHANGE_USER]
        bind = "--bind" if building else "--ro-bind"
        scratch = ["--perms", "1777", "--size", str(limits.folder_bytes), "--tmpfs", "/tmp"]
        outer = [
            *("bwrap", *spaces, "--die-with-parent", "--new-session", "--clearenv"),
            *("--json-status-fd", str(status), "--seccomp", str(seccomp)),
            *_system_mounts(work_dir),
            *scratch,
            *(bind, str(work_dir.folder), "/work", "--chdir", "/tmp", "--remount-ro", "/"),
            *(word for pair in environment("/tmp").items() for word in ("--setenv", *pair)),
        ]
        caps = [f"--{name.lower()}={soft}:{hard}" for name, (soft, hard) in resource_limits(limits).items()]
        inner = [*_as_user(work_dir.user), "prlimit", *caps, "--", *command]
        return Confined(command=[*outer, "--", *inner], environment={"PATH": os.defpath}, descriptors=[seccomp])


_CAN_CHANGE_USER = ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP")


def _system_mounts(work_dir: WorkDir) -> list[str]:
    """Read-only: /usr, a few files of /etc, the tools; /proc of its own; of the devices two."""
    # The first process of the namespace stands outside the limits, and where this process is not root it has the
    # program's user, who could write in its memory: it is not seen.
    mounts = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]
    parents = {parent for prefix in work_dir.prefixes for parent in Path(prefix).parents} - {Path("/")}
    for folder in ("/etc", "/dev", *map(str, sorted(parents))):  # or bubblewrap would make them for root alone
        mounts += ["--perms", "0755", "--dir", folder]
    for name in ("bin", "lib", "lib64", "sbin"):
        top = Path("/", name)
        if top.is_symlink():
            mounts += ["--symlink", os.readlink(top), str(top)]
        elif top.is_dir():
            mounts += ["--ro-bind", str(top), str(top)]
    for name in _ETC:
        mounts += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for prefix in work_dir.prefixes:
        mounts += ["--ro-bind", prefix, prefix]
    for name in ("null", "urandom"):  # shared maps of /dev/zero are memory that nobody counts
        mounts += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for name, target in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        mounts += ["--symlink", f"/proc/self/fd/{target}", f"/dev/{name}"]
    # Named semaphores, without which Python's processes share nothing, live in the one folder to write in.
    return [*mounts, "--symlink", "/tmp", "/dev/shm", "--symlink", "/proc/self/fd", "/dev/fd"]


def _as_user(user: int | None) -> list[str]:
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]


class Landlock:
    """Landlock, whose rules also keep signals inside, and the seccomp filter: where there is no bubblewrap."""

    name = "landlock"

    def inside(self, work_dir: WorkDir) -> str:
        return str(work_dir.folder)

    def confined(
        self, command: Sequence[str], work_dir: WorkDir, limits: Limits, *, building: bool, status: int
    ) -> Confined:
        scratch = work_dir.folder if building else work_dir.folder / SCRATCH
        read = kernel.READ_FILES | kernel.EXECUTE_FILES
        readable = ["/usr", "/bin", "/lib", "/lib64", "/sbin", *work_dir.prefixes, str(work_dir.folder)]
        paths = [(path, read) for path in readable if os.path.isdir(path)]
        paths += [(f"/etc/{name}", read if os.path.isdir(f"/etc/{name}") else _READ_FILE) for name in _ETC]
        paths += [("/dev/null", kernel.ALL_OF_A_FILE), ("/dev/urandom", _READ_FILE)]
        paths += [(f"/proc/{name}", _READ_FILE) for name in ("cpuinfo", "meminfo", "stat")]
        paths.append((str(scratch), kernel.ALL_OF_A_FOLDER))
        present = [rule for rule in paths if os.path.exists(rule[0])]
        rules = {"paths": present, "seccomp": program_filter(own_files=False).hex()}
        return _supervised(command, work_dir.user, limits, scratch=str(scratch), rules=rules, status=status)


class Unconfined:
    """Limits, another user if this one is root, and the killing at the end, no more. Only for who asks for it."""

    name = "unsafe"

    def inside(self, work_dir: WorkDir) -> str:
        return str(work_dir.folder)

    def confined(
        self, command: Sequence[str], work_dir: WorkDir, limits: Limits, *, building: bool, status: int
    ) -> Confined:
        scratch = str(work_dir.folder if building else work_dir.folder / SCRATCH)
        return _supervised(command, work_dir.user, limits, scratch=scratch, rules=None, status=status)


def _supervised(
    command: Sequence[str], user: int | None, limits: Limits, *, scratch: str, rules: object, status: int
) -> Confined:
    processes = limits.processes
    if user is None:  # outside a namespace the limit counts all that the user has
        processes = min(processes + _tasks_of(os.geteuid()), resource.getrlimit(resource.RLIMIT_NPROC)[1] % 2**63)
    request = {
        "command": [shutil.which(command[0]) or command[0], *command[1:]],
        "environment": environment(scratch),
        "folder": scratch,
        "user": user,
        "limits": {**resource_limits(limits), "NPROC": [processes] * 2},
        "confinement": rules,
    }
    return Confined(command=[sys.executable, "-S", "-s", "-P", str(_SUPERVISOR), json.dumps(request), str(status)])


def _tasks_of(user: int) -> int:
    """Threads of a user."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user:
                found += len(os.listdir(process / "task"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
