"""Files that no other user of the machine can read, and the token that a server makes in one of them.

Modes are mended where a file is there already: an earlier version, a copy or another umask may have left it open.
"""

import os
import secrets
import socket
import stat
from pathlib import Path

_FILE, _FOLDER = 0o600, 0o700
_OTHERS = 0o077


def keep_private(*paths: Path) -> None:
    """Take from all others what they may do with these files, or folders, where they are there."""
    for path in paths:
        try:
            mode = path.stat().st_mode
            if mode & _OTHERS:
                path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
        except FileNotFoundError:
            continue
        except PermissionError:
            continue  # somebody else's, who looks after it


def make_private(path: Path) -> None:
    """An empty file for this user alone where there is none, and none for others where there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE))
    except FileExistsError:
        if path.is_file():
            keep_private(path)


def keep_sqlite_private(path: Path) -> None:
    """An SQLite file, made if it is not there, and what SQLite and we put beside it, which takes over its mode."""
    make_private(path)
    keep_private(*(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal", ".claims")))


def kept_token(server: str) -> str | None:
    """The token that a server on this machine made for itself; None where there is none, or where others may read it.

    `server` tells servers apart, such as `rollouts-8100`.
    """
    path = _place(server)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
            status = os.fstat(file.fileno())
            ours = status.st_uid == os.getuid() and not status.st_mode & _OTHERS
            return (file.read().strip() or None) if ours else None
    except OSError:
        return None


def make_token(server: str) -> tuple[str, Path]:
    """A new token, and the file of mode 0600 that it is kept in. Raises OSError where none can be written."""
    path, token = _place(server), secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER)
    keep_private(path.parent)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, _FILE), "w") as file:
        file.write(token + "\n")
    fresh.rename(path)
    return token, path


def _place(server: str) -> Path:
    """By machine, since homes are shared by machines."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "afterbase" / "tokens" / f"{socket.gethostname()}-{server}"
