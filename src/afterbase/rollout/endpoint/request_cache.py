"""Answers of endpoints, kept by request: a run that stops at any moment asks again only for what it does not have.

One SQLite file in WAL mode, or a PostgreSQL database: each answer is committed when it comes, so `kill -9` loses none,
and several processes may share it. A request is known by what is sent, without the server's address, and by its place
among equal ones. Who is about to ask claims the request first, so that no two processes pay for the same one; the
operating system or the database lets go of the claims of a process that ends. Failures are not kept.

What was paid is kept beside: an account for each recipe, in the same commit as the answer.
"""

import errno
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from afterbase.core.errors import UserError, refuse_missing_extra
from afterbase.core.private_files import keep_sqlite_private
from afterbase.rollout.endpoint.budget import Spent
from afterbase.rollout.endpoint.cache_claims import FileClaims

_BUSY_SECONDS = 60  # how long one process waits for another's commit, which takes milliseconds
_BUSY_PAUSE = 0.01  # seconds
_POSTGRES = ("postgresql://", "postgresql+psycopg://")  # the latter is SQLAlchemy's
# `purses` holds the accounts: files of that form are in use.
_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers"
    " (key TEXT PRIMARY KEY, body TEXT NOT NULL, tokens INTEGER NOT NULL, created DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE IF NOT EXISTS purses"
    " (purse TEXT PRIMARY KEY, requests BIGINT NOT NULL, tokens BIGINT NOT NULL, money DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, name TEXT NOT NULL, created DOUBLE PRECISION NOT NULL)",
)
_PAY = (
    "INSERT INTO purses VALUES (?, ?, ?, ?) ON CONFLICT (purse) DO UPDATE SET"
    " requests = purses.requests + excluded.requests, tokens = purses.tokens + excluded.tokens,"
    " money = purses.money + excluded.money"
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


def is_there(place: Path | str) -> bool:
    """Whether a cache of that place was made; a database's may always have been."""
    return str(place).startswith(_POSTGRES) or Path(place).is_file()


class _Database(Protocol):
    """SQLite or PostgreSQL, each statement committed at once; `?` stands for a value."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def both(self, first: tuple[str, Sequence[Any]], second: tuple[str, Sequence[Any]]) -> None:
        """Two statements in one commit."""
        ...

    def claim(self, number: int) -> bool: ...

    def release(self, number: int) -> None: ...

    def close(self) -> None: ...


class RequestCache:
    """Answers by key in one file, or in a database with a postgresql:// address; a context manager.

    Raises UserError for a file that is something else, and for a database that cannot be reached.
    """

    def __init__(self, place: Path | str) -> None:
        if str(place).startswith(_POSTGRES):
            self._database: _Database = _Postgres(str(place))
        else:
            self._database = _Sqlite(Path(place))

    def __enter__(self) -> "RequestCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def __len__(self) -> int:
        return self._database.execute("SELECT COUNT(*) FROM answers")[0][0]

    def get(self, key: str) -> Cached | None:
        rows = self._database.execute("SELECT body, tokens, created FROM answers WHERE key = ?", (key,))
        return Cached(body=json.loads(rows[0][0]), tokens=rows[0][1], created=rows[0][2]) if rows else None

    def put(
        self, key: str, body: dict[str, Any], *, tokens: int, account: str = "", spent: Spent | None = None
    ) -> Cached:
        """Keep an answer, committed on return; gives what is kept: another process's answer, if that was first.

        `spent` goes into `account` in any case: it is paid. Raises OSError (ENOSPC) where the disk is full.
        """
        spent = spent or Spent(requests=1, tokens=tokens)
        self._database.both(
            (
                "INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (key, json.dumps(body), tokens, time.time()),
            ),
            (_PAY, (account, spent.requests, spent.tokens, spent.money)),
        )
        kept = self.get(key)
        assert kept is not None
        return kept

    def spent(self, account: str) -> Spent:
        """All that was ever paid from an account."""
        rows = self._database.execute("SELECT requests, tokens, money FROM purses WHERE purse = ?", (account,))
        return Spent(*rows[0]) if rows else Spent()

    def claim(self, key: str) -> bool:
        """Whether this process may ask; False while another one does. The answer may have come before the claim."""
        return self._database.claim(_number(key))

    def release(self, key: str) -> None:
        self._database.release(_number(key))

    def batches(self) -> dict[str, str]:
        """Batches of a provider that were sent and not yet fetched: name by id."""
        return dict(self._database.execute("SELECT id, name FROM batches ORDER BY created"))

    def note_batch(self, identifier: str, name: str) -> None:
        self._database.execute(
            "INSERT INTO batches VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", (identifier, name, time.time())
        )

    def forget_batch(self, identifier: str) -> None:
        self._database.execute("DELETE FROM batches WHERE id = ?", (identifier,))


def _number(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest()[:15], 16)  # 60 bits: an offset, and a bigint


class _Sqlite:
    def __init__(self, path: Path) -> None:
        keep_sqlite_private(path)  # answers may be anything that was asked for
        try:
            # An event loop of ours may run in another thread than the one that opened the file, never beside it.
            self.connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            _set_up(self.connection)
        except sqlite3.DatabaseError as error:
            raise UserError(
                "a request cache is a file of its own",
                got=f"{path}: {error}",
                remedy="name another file, or delete this one if it is a broken cache",
            ) from None
        claims = FileClaims(path.with_name(path.name + ".claims"))
        self.claim, self.release, self._close_claims = claims.claim, claims.release, claims.close

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise

    def both(self, first: tuple[str, Sequence[Any]], second: tuple[str, Sequence[Any]]) -> None:
        self.execute("BEGIN IMMEDIATE")
        try:
            self.execute(*first)
            self.execute(*second)
            self.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()
        self._close_claims()


def _set_up(database: sqlite3.Connection) -> None:
    """Mode and tables, tried again where another process is just making the same file: SQLite waits for none of it."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            # In WAL mode a commit under NORMAL survives the process; a power cut can cost the last ones, no more.
            database.execute("PRAGMA synchronous = NORMAL")
            for table in _TABLES:
                database.execute(table)
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_PAUSE)


def refuse_without_psycopg(cache: str) -> None:
    """UserError for a cache in PostgreSQL where its client is not installed."""
    if cache.startswith(_POSTGRES):
        refuse_missing_extra("postgres", "a request cache in PostgreSQL needs psycopg", otherwise="name a file")


class _Postgres:
    def __init__(self, address: str) -> None:
        refuse_without_psycopg(address)
        import psycopg

        try:
            self._connection = psycopg.connect(address.replace("+psycopg", "", 1), autocommit=True)
            # Two processes that make the same table at once fail, even with IF NOT EXISTS.
            with self._connection.transaction():
                self.execute("SELECT pg_advisory_xact_lock(0)")
                for table in _TABLES:
                    self.execute(table)
        except psycopg.Error as error:
            raise UserError(
                "a request cache's database can be reached",
                got=str(error).strip(),
                remedy="start PostgreSQL, or correct postgresql://USER@HOST/DATABASE; PGPASSWORD holds its password",
            ) from error

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description is not None else []

    def both(self, first: tuple[str, Sequence[Any]], second: tuple[str, Sequence[Any]]) -> None:
        with self._connection.transaction():
            self.execute(*first)
            self.execute(*second)

    def claim(self, number: int) -> bool:
        return self.execute("SELECT pg_try_advisory_lock(?)", (number,))[0][0]

    def release(self, number: int) -> None:
        self.execute("SELECT pg_advisory_unlock(?)", (number,))

    def close(self) -> None:
        self._connection.close()
