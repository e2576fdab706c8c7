"""Control groups (v2) around runs, where this process may make them: what the kernel counts cannot be hidden from it.

A group tells the processor time of all that was ever in it, and ends all of it at once. Where the controllers of memory
and of processes can be had, too, it also holds them to the limits, memory of the kernel and of sockets included. The
place is this process's own group: the root of the hierarchy, or one that was handed over to it and holds nobody else,
as `systemd-run --user --scope -p Delegate=yes afterbase ...` makes it. Where none of this is possible, /proc alone is
looked at (`process_usage.py`).

Source: Documentation/admin-guide/cgroup-v2.rst of Linux.
"""

import atexit
import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from afterbase.sandbox.confinement import Limits
from afterbase.sandbox.launcher_client import pooled_launcher

_WANTED = frozenset({"memory", "pids"})
_KEEPERS, _KEEPERS_BYTES = 8, 24 << 20  # what confines and waits is in the group, too
_NAME = "afterbase-"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A group in which those of the runs are made, and the controllers that they have."""

    folder: Path
    controllers: frozenset[str]

    @contextlib.contextmanager
    def group(self, limits: Limits) -> Iterator["Group"]:
        """A group for one run; whatever is left in it is killed."""
        folder = self.folder / os.urandom(8).hex()
        folder.mkdir()
        try:
            if "memory" in self.controllers:
                (folder / "memory.max").write_text(str(limits.memory_bytes + _KEEPERS_BYTES))
                for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                    if (folder / name).exists():
                        (folder / name).write_text(value)
            if "pids" in self.controllers:
                (folder / "pids.max").write_text(str(limits.processes + _KEEPERS))
            yield Group(folder)
        finally:
            if (folder / "cgroup.kill").exists():  # since Linux 5.14
                (folder / "cgroup.kill").write_text("1")
            with contextlib.suppress(OSError):  # what is not yet empty goes with the place
                folder.rmdir()


@dataclass(frozen=True)
class Group:
    """The group of one run."""

    folder: Path

    @property
    def cpu_seconds(self) -> float:
        """Of all processes that were ever in it."""
        return _numbers(self.folder / "cpu.stat")["usage_usec"] / 1e6

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel had to kill for memory."""
        events = self.folder / "memory.events"
        return events.exists() and _numbers(events)["oom_kill"] > 0


def place() -> Place | None:
    """Where this process can make groups for its runs, tried by a run; None if nowhere."""
    return _place(os.getpid())  # a fork makes its own


@functools.cache
def _place(_: int) -> Place | None:
    own = own_group(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    if own is None:
        return None
    try:
        found = made_in(own)
    except OSError:
        return None
    atexit.register(_end, found.folder, os.getpid())
    try:
        with found.group(Limits()) as group, pooled_launcher() as launcher:
            launcher.start(["true"], {"PATH": os.defpath}, {}, cgroup=group.folder)
            launcher.used()
            return found if group.cpu_seconds > 0 else None
    except (OSError, KeyError):  # ChildProcessError among them: no process may be born there
        return None


def own_group(groups: str, mounts: str) -> Path | None:
    """The folder of this process's group, from the texts of cgroup and mountinfo in /proc/self; None without v2."""
    paths = [line.removeprefix("0::") for line in groups.splitlines() if line.startswith("0::")]
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 ") and paths:
            root, at = fields.split(" ")[3:5]
            below = os.path.relpath(paths[0], root)
            return None if below.startswith("..") else Path(at, below)
    return None


def made_in(own: Path) -> Place:
    """A new group for runs in a group of this process; OSError if none can be made.

    Controllers can be handed on only by the root or by a group without processes: so this process moves into one of
    its own below, and back if it was not alone.
    """
    _sweep(own)
    controllers = _WANTED & frozenset((own / "cgroup.controllers").read_text().split())
    folder = own / f"{_NAME}{os.getpid()}"
    folder.mkdir(exist_ok=True)
    if not controllers <= frozenset((own / "cgroup.subtree_control").read_text().split()):
        controllers = controllers if _handed_on(own, controllers) else frozenset()
    if controllers:
        (folder / "cgroup.subtree_control").write_text(_switched_on(controllers))
    return Place(folder=folder, controllers=controllers)


def _handed_on(own: Path, controllers: frozenset[str]) -> bool:
    aside = own / f"{_NAME}{os.getpid()}-self"
    moved = (own / "cgroup.type").exists()  # the root has none, and need not be empty
    if moved:
        aside.mkdir(exist_ok=True)
        (aside / "cgroup.procs").write_text(str(os.getpid()))
    try:
        (own / "cgroup.subtree_control").write_text(_switched_on(controllers))
        return True
    except OSError:  # another process is there
        if moved:
            (own / "cgroup.procs").write_text(str(os.getpid()))
            aside.rmdir()
        return False


def _switched_on(controllers: frozenset[str]) -> str:
    return " ".join(f"+{name}" for name in sorted(controllers))


def _sweep(own: Path) -> None:
    """Remove the groups of processes that are gone."""
    for folder in own.glob(f"{_NAME}*"):
        if not Path("/proc", folder.name.removeprefix(_NAME).removesuffix("-self")).exists():
            _remove(folder)


def _end(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        _remove(folder)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty
        for below in folder.iterdir():
            if below.is_dir():
                below.rmdir()
        folder.rmdir()


def _numbers(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
