"""Rows of files as samples: Parquet, JSONL in chat or ShareGPT form (plain or gzip), folders of the `datasets` library.

A row has `messages` ({role, content}) or `conversations` ({from, value}). `domain`, `kind`, `problem_id`, `parents`,
`producer`, `verdicts`, `dropped` and `extra` are taken where they are there; any other key goes to `extra`, such as
`source` and `license`. Ids are derived from content; a file's own `id` that is another goes to `extra.source_id`.

Read in pieces of at most 4,096 rows and about 32 MB, so that a file may be larger than memory. UserError, with the
line, for what is no row.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA, content_id
from afterbase.data.json_lines import json_lines, unreadable

ROWS, _BYTES = 4096, 32 << 20
_LONGEST = 1 << 30  # a long row is for the filters to drop, with its reason; this is a file without line breaks
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_OPTIONAL = ("problem_id", "parents", "producer", "verdicts", "dropped", "extra")
_TAKEN = {"id", "messages", "conversations", "domain", "kind", *_OPTIONAL}


def read_tables(path: Path, *, domain: str = "unnamed") -> Iterator[pa.Table]:
    """The rows of a file or folder, as tables of `SAMPLE_SCHEMA`; `domain` is that of rows which name none."""
    if path.is_dir():
        yield from _folder(path, domain)
    elif not path.is_file():
        raise UserError("a file of rows exists", got=f"no file or folder {path}", remedy="name another")
    elif path.suffix == ".parquet":
        yield from _parquet(path, domain)
    elif path.name.removesuffix(".gz").endswith((".jsonl", ".json", ".ndjson")):
        yield from _tables(json_lines(path, longest=_LONGEST), path, domain)
    else:
        raise UserError(
            "rows are read from .parquet, .jsonl, .jsonl.gz, or a folder of the `datasets` library",
            got=str(path),
            remedy="convert it, or rename it if it is one of those",
        )


def _folder(path: Path, domain: str) -> Iterator[pa.Table]:
    """`data/*.parquet` as on the Hub, `*.parquet`, or the `*.arrow` of `save_to_disk`."""
    files = sorted(path.glob("data/*.parquet")) or sorted(path.glob("*.parquet")) or sorted(path.glob("*.arrow"))
    if not files:
        raise UserError("a folder of rows holds Parquet or Arrow files", got=f"none in {path}", remedy="name another")
    for file in files:
        yield from _parquet(file, domain) if file.suffix == ".parquet" else _arrow(file, domain)


def _parquet(path: Path, domain: str) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=ROWS)
            yield from _batches(batches, file.schema_arrow, path, domain)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _arrow(path: Path, domain: str) -> Iterator[pa.Table]:
    try:
        with pa.memory_map(str(path)) as file, pyarrow.ipc.open_stream(file) as stream:
            yield from _batches(stream, stream.schema, path, domain)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, domain: str) -> Iterator[pa.Table]:
    if schema.equals(SAMPLE_SCHEMA):
        for batch in batches:
            yield pa.Table.from_batches([batch], SAMPLE_SCHEMA)
        return
    if not {"messages", "conversations"} & set(schema.names):
        raise UserError(
            "a table of rows has a column `messages` or `conversations`",
            got=f"{', '.join(schema.names[:12])} in {path}",
            remedy="rename the column, or make one",
        )
    rows = ((number, row) for number, row in enumerate((r for b in batches for r in b.to_pylist()), start=1))
    yield from _tables(((n, {k: v for k, v in r.items() if v is not None}, 0) for n, r in rows), path, domain)


def _tables(rows: Iterator[tuple[int, dict[str, Any], int]], path: Path, domain: str) -> Iterator[pa.Table]:
    batch: list[dict[str, Any]] = []
    numbers: list[int] = []
    size = 0
    for number, raw, length in rows:
        try:
            batch.append(_record(raw, path, domain))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            said = f"no `{error.args[0]}`" if isinstance(error, KeyError) else str(error) or type(error).__name__
            raise _no_row(path, number, said) from error
        numbers.append(number)
        size += length
        if len(batch) >= ROWS or size >= _BYTES:
            yield _table(batch, numbers, path)
            batch, numbers, size = [], [], 0
    if batch:
        yield _table(batch, numbers, path)


def _record(raw: dict[str, Any], path: Path, domain: str) -> dict[str, Any]:
    """One row of `SAMPLE_SCHEMA`. TypeError, ValueError or KeyError where it is none."""
    messages = _messages(raw)
    record: dict[str, Any] = {name: raw[name] for name in _OPTIONAL if name in raw}
    producer, extra = (_object(record.get(name, {}), name) for name in ("producer", "extra"))
    producer = producer or {"name": path.name}
    kind, said = str(raw.get("kind", "imported")), str(raw.get("domain", domain))
    identifier = content_id(said, kind, messages, producer)
    extra |= {key: value for key, value in raw.items() if key not in _TAKEN}
    if (own := raw.get("id")) is not None and own != identifier:
        extra["source_id"] = own
    return {
        "problem_id": None,
        "parents": [],
        "verdicts": [],
        "dropped": None,
        **record,
        "id": identifier,
        "messages": messages,
        "domain": said,
        "kind": kind,
        "producer": json.dumps(producer, sort_keys=True, ensure_ascii=False),
        "extra": json.dumps(extra, sort_keys=True, ensure_ascii=False, default=str),
    }


def _messages(raw: dict[str, Any]) -> list[dict[str, str]]:
    if "messages" in raw:
        turns: list[tuple[Any, Any]] = [(turn["role"], turn["content"]) for turn in raw["messages"]]
    elif "conversations" in raw:
        turns = [(_ROLES.get(turn["from"], turn["from"]), turn["value"]) for turn in raw["conversations"]]
    else:
        raise ValueError("neither `messages` nor `conversations`")
    if not all(isinstance(part, str) for turn in turns for part in turn):
        raise TypeError("a turn has a role and a text, both strings")
    return [{"role": role, "content": text} for role, text in turns]


def _object(value: Any, name: str) -> dict[str, Any]:
    value = json.loads(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise TypeError(f"`{name}` is an object")
    return dict(value)


def _table(batch: Sequence[dict[str, Any]], numbers: Sequence[int], path: Path) -> pa.Table:
    try:
        return pa.Table.from_pylist(list(batch), SAMPLE_SCHEMA)
    except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError) as error:
        for number, record in zip(numbers, batch, strict=True):
            try:
                pa.Table.from_pylist([record], SAMPLE_SCHEMA)
            except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError) as first:
                raise _no_row(path, number, str(first)) from error
        raise


def _no_row(path: Path, number: int, what: str) -> UserError:
    return UserError(
        "a row is a JSON object in UTF-8, with `messages` ({role, content}) or `conversations` ({from, value})",
        got=f"row {number} of {path}: {what}",
        remedy="correct the row, or take it out",
    )
