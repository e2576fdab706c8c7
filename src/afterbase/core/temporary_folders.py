"""Temporary folders, each locked by the process that made it; the next start removes what a killed process left.

The lock is on the folder itself (flock(2)), so it ends with its owner however that ends, and a folder that can be
locked is nobody's. The first folder that a process makes is preceded by a look for such.

Does not cover: temporary folders on file systems without locks (some of NFS).
"""

import contextlib
import functools
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Container, Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

PREFIX = "afterbase-room-"


@contextlib.contextmanager
def scratch_folder(owners: Container[int] = ()) -> Iterator[Path]:
    """A new folder for this user alone, gone at the end whatever was put there.

    `owners` are the other users that such folders may be given to.
    """
    _sweep_once(owners)
    folder, lock = _new()
    try:
        yield folder
    finally:
        clear(folder)
        os.close(lock)


def clear(folder: Path) -> bool:
    """Remove a folder that a program wrote in: any depth, any name, folders closed even to their owner.

    False, and a warning, if something of it cannot be removed: that is no fault of whoever else is at work.
    """
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        for command in (["chmod", "-R", "u+rwX", "--", folder], ["rm", "-rf", "--", folder]):
            subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if not os.path.lexists(folder):
        return True
    logging.getLogger(__name__).warning("%s cannot be removed; the next start tries again", folder)
    return False


def sweep(owners: Container[int] = ()) -> None:
    """Remove the scratch folders of this user, and of these others, whose makers are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, another's, or gone meanwhile
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                owner = os.fstat(lock).st_uid
                if owner == os.geteuid() or owner in owners:
                    flock(lock, LOCK_EX | LOCK_NB)
                    clear(folder)
            finally:
                os.close(lock)


_sweep_once = functools.cache(sweep)


def _new() -> tuple[Path, int]:
    """The folder and its lock; another's look may have taken the folder before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        flock(lock, LOCK_EX)
        if os.path.lexists(folder):
            return folder, lock
        os.close(lock)
