"""The review's tables, for SQLite and PostgreSQL alike. Texts that may hold anything are JSON in plain ASCII.

Nothing that a person decided is ever overwritten or deleted: a verdict that was taken back keeps its row.
"""

import json
import secrets
import time
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)

from afterbase.core.errors import UserError
from afterbase.core.private_files import keep_sqlite_private

_BUSY_MILLISECONDS = 60_000  # how long one process waits for another's commit, which takes milliseconds
_ATTEMPTS, _PAUSE = 5, 0.2  # seconds
metadata = MetaData()

settings = Table("settings", metadata, Column("name", String, primary_key=True), Column("value", String))

reviews = Table(
    "reviews",
    metadata,
    Column("run", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("policy", Text, nullable=False),
    Column("guideline", Text, nullable=False),
    Column("drafts", Integer, nullable=False),  # in the pool that the queue was drawn from
    Column("fingerprint", String, nullable=False),
    Column("changes", Integer, nullable=False),  # every change starts here, which makes the others wait
    Column("closed", Float),  # when the run went on with it; seconds since 1970, as all times here
)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("sample", String, nullable=False),
    Column("messages", Text, nullable=False),
    Column("position", Integer),  # none: no longer in the queue
    Column("needed", Integer, nullable=False),  # people who review it: 1 or 2
    Column("given", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("run", "domain", "sample"),
    Index("queue", "run", "domain", "state", "position"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item", ForeignKey("items.id"), nullable=False),
    Column("reviewer", String, nullable=False),
    Column("settles", Boolean, nullable=False),  # an adjudicator's
    Column("outcome", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("edited", Text),
    Column("diff", Text),
    Column("seconds", Float, nullable=False),
    Column("given", Float, nullable=False),
    Column("undone", Float),
    Index("reviewer_verdicts", "reviewer", "item"),
    # The last line of defence against a verdict twice: the database itself refuses it.
    Index(
        "one_verdict", "item", "reviewer", "settles", unique=True,
        sqlite_where=text("undone IS NULL"), postgresql_where=text("undone IS NULL"),
    ),
)  # fmt: skip

skips = Table(
    "skips",
    metadata,
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("reviewer", String, primary_key=True),
    Column("at", Float, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("run", String, primary_key=True),
    Column("domain", String, primary_key=True),
    Column("reviewer", String, primary_key=True),
    Column("item", ForeignKey("items.id"), nullable=False),
    Column("shown", Float, nullable=False),
)

# Who was told that a draft is a conflict: from then on their own verdict on it stands.
seen = Table(
    "told",
    metadata,
    Column("item", ForeignKey("items.id"), primary_key=True),
    Column("reviewer", String, primary_key=True),
)

reviewers = Table(
    "reviewers",
    metadata,
    Column("run", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("adjudicates", Boolean, nullable=False),
)


def connect(url: str) -> Engine:
    """The database at a SQLAlchemy URL, with the tables in it and a secret of its own.

    Raises UserError where it cannot be had.
    """
    try:
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _durable)
        _set_up(engine)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, DBAPIError) as error:
        cause = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise UserError(
            "reviews are kept in SQLite, or in PostgreSQL as `postgresql+psycopg://user@host/name`",
            got=f"{url}: {cause}",
            remedy="start the database, mend the URL, or pip install 'afterbase[postgres]'",
        ) from error
    return engine


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file, made so that nobody else on the machine can read it: it holds the tokens' secret."""
    keep_sqlite_private(path)
    return f"sqlite:///{path.resolve()}"


def secret_of(engine: Engine) -> bytes:
    """What the tokens of this database are made with."""
    with engine.connect() as connection:
        value = connection.scalar(select(settings.c.value).where(settings.c.name == "secret"))
    return bytes.fromhex(str(value))


def packed(value: Any) -> str:
    """JSON in ASCII: PostgreSQL takes neither NUL nor a lone surrogate in a text."""
    return json.dumps(value)


def _durable(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a verdict that was answered for survives a power cut, too
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _set_up(engine: Engine) -> None:
    """Tables and secret; tried again where another process is just making the same ones."""
    for attempt in range(_ATTEMPTS):
        try:
            metadata.create_all(engine)
            _make_secret(engine)
            return
        except (OperationalError, ProgrammingError, IntegrityError):
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE)


def _make_secret(engine: Engine) -> None:
    known = select(settings.c.value).where(settings.c.name == "secret")
    with engine.begin() as connection:
        if connection.scalar(known) is None:
            connection.execute(settings.insert().values(name="secret", value=secrets.token_hex(32)))
