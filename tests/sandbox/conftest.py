"""The confinements that tests of programs run under, and a check that they leave nothing behind."""

import os
import tempfile
from collections.abc import Iterator
from fcntl import LOCK_NB, LOCK_SH, flock
from pathlib import Path

import pytest

from afterbase.sandbox.confinement import Confinement
from afterbase.sandbox.launcher_client import close_idle
from confinements import confinement_or_skip


@pytest.fixture(params=["strongest", pytest.param("landlock", marks=pytest.mark.slow)])
def confinement(request: pytest.FixtureRequest) -> Confinement:
    return confinement_or_skip(request.param)


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """No process below this one, no folder, no mount."""
    before = left_behind()
    yield
    assert left_behind() == before


def left_behind() -> tuple[list[str], list[str], int]:
    close_idle()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    folders = sorted(path.name for path in Path(tempfile.gettempdir()).glob("afterbase-room-*") if is_nobodys(path))
    return children, folders, len(Path("/proc/self/mounts").read_text().splitlines())


def is_nobodys(folder: Path) -> bool:
    """Other runs on this machine hold a lock on theirs."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        flock(lock, LOCK_SH | LOCK_NB)
        return folder.exists()
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
