"""One process at a time makes a run: two would write over one another's report and model.

The lock is flock(2) on a file below `store/.work`, which the kernel gives back however its holder ends. Processes that
the holder forks do not keep it. Runs of other names on the same store are not kept out.

Does not cover: runs of one name in two stores that hand over into one folder.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from afterbase.core.errors import UserError

_held: set[IO[Any]] = set()


@contextlib.contextmanager
def run_lock(root: Path, name: str) -> Iterator[None]:
    """Inside the block this process alone makes the run of that name below `root`. UserError where another one does."""
    folder = root / "store" / ".work"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"run-{name}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                "one process at a time makes a run",
                got=f"the run `{name}`, which {file.read() or 'another process'} is making now",
                remedy="wait until it has ended, or give this run another name (`name` of the recipe, or --out)",
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def _give_back() -> None:
    """In a forked process: closing this copy leaves the lock with the process that took it."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_give_back)
