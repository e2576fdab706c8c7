"""Control groups: files in a toy tree, and what the kernel counts where this machine lets one ask it."""

import os
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from afterbase.sandbox import cgroups
from afterbase.sandbox.cgroups import Group, Place, made_in, own_group, place
from afterbase.sandbox.confinement import Limits, Unconfined
from afterbase.sandbox.launcher_client import close_idle, pooled_launcher
from afterbase.sandbox.python_calls import Reason
from confinements import SMALL, ended

MOUNTS = "30 25 0:27 {root} {at} rw,nosuid - cgroup2 cgroup2 rw\n31 25 0:28 / /proc rw - proc proc rw\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "folder"),
    [
        ("0::/\n", MOUNTS.format(root="/", at="/sys/fs/cgroup"), "/sys/fs/cgroup"),
        ("0::/user.slice/a.scope\n", MOUNTS.format(root="/", at="/sys/fs/cgroup"), "/sys/fs/cgroup/user.slice/a.scope"),
        ("0::/docker/1/x\n", MOUNTS.format(root="/docker/1", at="/cg"), "/cg/x"),
        ("0::/elsewhere\n", MOUNTS.format(root="/docker/1", at="/cg"), None),
        ("4:memory:/a\n0::/b\n", MOUNTS.format(root="/", at="/cg/unified"), "/cg/unified/b"),
        ("4:memory:/a\n", MOUNTS.format(root="/", at="/cg"), None),
        ("0::/\n", "31 25 0:28 / /proc rw - proc proc rw\n", None),
    ],
)
def test_the_own_group_is_found_where_it_is_mounted(groups: str, mounts: str, folder: str | None) -> None:
    assert own_group(groups, mounts) == (None if folder is None else Path(folder))


def toy(tmp_path: Path, *, controllers: str, switched_on: str, root: bool = False) -> Path:
    """A tree of plain files: what is written stays there, and nothing else happens."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.subtree_control").write_text(switched_on)
    if not root:
        (own / "cgroup.type").write_text("domain\n")
    return own


def test_a_group_that_was_handed_over_hands_its_controllers_on(tmp_path: Path) -> None:
    own = toy(tmp_path, controllers="cpu memory pids\n", switched_on="\n")
    made = made_in(own)
    assert made == Place(folder=own / f"afterbase-{os.getpid()}", controllers=frozenset({"memory", "pids"}))
    assert (own / f"afterbase-{os.getpid()}-self" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (made.folder / "cgroup.subtree_control").read_text() == "+memory +pids"


@pytest.mark.parametrize(("root", "switched_on"), [(True, "\n"), (False, "cpu memory pids\n")])
def test_who_need_not_move_stays(tmp_path: Path, root: bool, switched_on: str) -> None:
    own = toy(tmp_path, controllers="memory pids\n", switched_on=switched_on, root=root)
    assert made_in(own).controllers == {"memory", "pids"}
    assert not (own / f"afterbase-{os.getpid()}-self").exists()


def test_a_group_with_others_in_it_gives_no_controllers_and_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = toy(tmp_path, controllers="memory pids\n", switched_on="\n")
    write, moves = Path.write_text, []

    def busy(path: Path, text: str) -> int:
        if path == own / "cgroup.subtree_control":
            raise OSError(16, "Device or resource busy")
        if path.name == "cgroup.procs":
            moves.append(path.parent)
            return len(text)
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", busy)
    assert made_in(own).controllers == frozenset()
    assert moves == [own / f"afterbase-{os.getpid()}-self", own]
    assert sorted(path.name for path in own.iterdir() if path.is_dir()) == [f"afterbase-{os.getpid()}"]


def test_the_limits_of_a_run_are_those_of_its_group(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=100 << 20, processes=10)
    with Place(folder=tmp_path, controllers=frozenset({"memory", "pids"})).group(limits) as group:
        assert 100 << 20 <= int((group.folder / "memory.max").read_text()) <= 132 << 20
        assert 10 <= int((group.folder / "pids.max").read_text()) <= 20
    with Place(folder=tmp_path, controllers=frozenset()).group(limits) as group:
        assert list(group.folder.iterdir()) == []
    assert not group.folder.exists()


def test_what_the_kernel_counted_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n")
    assert Group(tmp_path).cpu_seconds == 2.5
    assert not Group(tmp_path).out_of_memory
    for kills in (0, 2):
        (tmp_path / "memory.events").write_text(f"low 0\nhigh 0\nmax 7\noom 1\noom_kill {kills}\n")
        assert Group(tmp_path).out_of_memory == (kills > 0)


def test_groups_of_the_dead_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in ("afterbase-4194999/run", "afterbase-4194999-self", f"afterbase-{os.getpid()}", "other"):
        (tmp_path / name).mkdir(parents=True)
    cgroups._sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"afterbase-{os.getpid()}", "other"}


def place_or_skip() -> Place:
    found = place()
    if found is None:
        pytest.skip("no control groups (v2) can be made here")
    return found


def test_a_command_is_born_in_its_group_and_counted_there() -> None:
    with place_or_skip().group(SMALL) as group, pooled_launcher() as launcher:
        burn = "import os, time\nif os.fork() == 0:\n    while time.process_time() < 0.2: pass\nelse: os.wait()"
        launcher.start([sys.executable, "-c", burn], {"PATH": os.defpath}, {}, cgroup=group.folder)
        launcher.used()
        assert group.cpu_seconds >= 0.2
    assert not group.folder.exists()


def test_children_that_nobody_sees_are_counted() -> None:
    """Each lives for less than a look, and the kernel adds its time to no parent's."""
    place_or_skip()
    program = """
    import os, signal, time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(400):
        if os.fork() == 0:
            while time.process_time() < 0.005: pass
            os._exit(0)
        try: os.wait()
        except ChildProcessError: pass
    """
    limits = replace(SMALL, cpu_seconds=1, wall_seconds=60.0)
    assert ended(Unconfined(), textwrap.dedent(program), limits=limits).reason is Reason.TIMEOUT


def test_runs_leave_no_groups() -> None:
    found = place_or_skip()
    ended(Unconfined(), "print(6)")
    close_idle()
    assert [path for path in found.folder.iterdir() if path.is_dir()] == []
