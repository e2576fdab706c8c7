"""Answers of endpoints, kept by request: a run that stops at any moment asks again only for what it does not have.

One SQLite file in WAL mode: each answer is committed as it comes, so `kill -9` loses none, and several processes may
share the file. A request is known by what is sent, without the server's address, and by its place among equal ones.
Failures are not kept.
"""

import errno
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from afterbase.core.errors import UserError

_BUSY_SECONDS = 60  # how long one process waits for another's commit, which takes milliseconds
_BUSY_PAUSE = 0.01  # seconds
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers"
    " (key TEXT PRIMARY KEY, body TEXT NOT NULL, tokens INTEGER NOT NULL, created REAL NOT NULL) WITHOUT ROWID"
)


def canonical(value: Any) -> str:
    """JSON that is equal for equal values: keys sorted, no white space, plain ASCII; no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def request_key(body: dict[str, Any], sample: int) -> str:
    """SHA-256 of a request as it is sent and of its place among equal ones, in hexadecimal."""
    return hashlib.sha256(canonical({"request": body, "sample": sample}).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Cached:
    """A server's answer as it was sent, the tokens it counted, and the time it came (seconds since 1970)."""

    body: dict[str, Any]
    tokens: int
    created: float


def _set_up(database: sqlite3.Connection) -> None:
    """Mode and table, tried again where another process is just making the same file: SQLite does not wait for that."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # In WAL mode a commit under NORMAL survives the process; a power cut can cost the last ones, no more.
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_TABLE)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE)


class RequestCache:
    """Answers by key in one file; a context manager. Raises UserError for a file that is something else."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # An event loop of ours may run in another thread than the one that opened the file, never beside it.
            self._database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            _set_up(self._database)
        except sqlite3.DatabaseError as error:
            raise UserError(
                "a request cache is a file of its own",
                got=f"{path}: {error}",
                remedy="name another file, or delete this one if it is a broken cache",
            ) from None

    def __enter__(self) -> "RequestCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def __len__(self) -> int:
        return self._database.execute("SELECT COUNT(*) FROM answers").fetchone()[0]

    def get(self, key: str) -> Cached | None:
        row = self._database.execute("SELECT body, tokens, created FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else Cached(body=json.loads(row[0]), tokens=row[1], created=row[2])

    def bodies(self) -> Iterator[dict[str, Any]]:
        """All answers, one at a time."""
        for (body,) in self._database.execute("SELECT body FROM answers"):
            yield json.loads(body)

    def put(self, key: str, body: dict[str, Any], *, tokens: int) -> Cached:
        """Keep an answer, committed on return; gives what is kept: another process's answer, if that was first.

        Raises OSError (ENOSPC) where the disk is full.
        """
        row = (key, json.dumps(body), tokens, time.time())
        try:
            self._database.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
        kept = self.get(key)
        assert kept is not None
        return kept
