"""Users that programs run as where this process is root: each belongs to one run on the whole machine at a time.

Two runs with one user could signal each other and would share a limit on processes. A user is taken by a lock on a file
that only root can make; the lock ends with its process however that ends.

Does not cover: containers that share no /run but the users of one machine.
"""

import contextlib
import itertools
import os
import random
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from afterbase.core.errors import UserError

USERS = range(60_706, 61_184)  # which systemd.io/UIDS-GIDS leaves unused
LOCKS = Path("/run/afterbase-users")
_turns = itertools.count(random.randrange(len(USERS)))  # who comes next does not meet what is still being killed


@contextlib.contextmanager
def run_user() -> Iterator[int | None]:
    """A user that nobody else has for so long; None if this process is not root. UserError if none is left."""
    if os.geteuid() != 0:
        yield None
        return
    user, lock = _taken()
    try:
        yield user
    finally:
        os.close(lock)


def _taken() -> tuple[int, int]:
    try:
        LOCKS.mkdir(mode=0o700, exist_ok=True)
        first = next(_turns)
        for user in (USERS[(first + step) % len(USERS)] for step in range(len(USERS))):
            lock = os.open(LOCKS / str(user), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                flock(lock, LOCK_EX | LOCK_NB)
                return user, lock
            except BlockingIOError:
                os.close(lock)
    except OSError as error:
        raise UserError(
            "as root, programs run as users of their own, which are taken by locks",
            got=str(error),
            remedy=f"make {LOCKS.parent} writable for root, or run afterbase as another user",
        ) from error
    raise UserError(
        f"at most {len(USERS)} programs run at once on a machine", got="no user is left", remedy="use fewer workers"
    )
