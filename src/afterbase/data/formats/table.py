"""Rows of a table that somebody else wrote: JSONL, CSV (both plain or .gz), Parquet, or a set of `datasets`.

A row that cannot be read, or is above 16 MiB, ends the reading with its place (`json_lines.py` says why).
"""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.data.formats.json_lines import LONGEST_ROW, json_lines, lines, refuse, refuse_length, unreadable

_HUB = "hub:"
_BATCH = 256  # rows of Parquet at once: a batch is as long as its rows
_KINDS = "JSONL, CSV (both plain or .gz), Parquet, a folder of `datasets`, or hub:ORG/NAME"


class Row(NamedTuple):
    """One row, and where it stands: `line 12` (JSONL, CSV), or `row 12`, both counted from 1."""

    place: str
    values: dict[str, Any]


def read_table(path: str, *, split: str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table in their order, `columns` alone; `split` is for `datasets`, a file has no other than its own.

    Raises UserError, with the place, for a table that is not there or is broken, a column that is missing, a row that
    is too long, and text that is not UTF-8.
    """
    for place, values in _reader(path, split)(columns):
        missing = [name for name in columns if name not in values]
        if missing:
            refuse(
                path, place, f"no column `{missing[0]}` among {', '.join(map(str, values)) or 'none'}", "name another"
            )
        try:
            size = sum(len(_text(values[name]).encode()) for name in columns)
        except UnicodeEncodeError as error:
            refuse(path, place, f"half a character: {error.reason}", "correct the row, or leave it out")
        if size > LONGEST_ROW:
            refuse_length(path, place)
        yield Row(place, {name: values[name] for name in columns})


def table_digest(path: str, *, split: str, columns: Sequence[str]) -> str:
    """SHA-256 of what a table says, in hexadecimal: a file's bytes, or the rows of a set of `datasets`."""
    total = hashlib.sha256()
    if path.startswith(_HUB) or Path(path).is_dir():
        for _, values in read_table(path, split=split, columns=columns):
            total.update(_text(values).encode() + b"\n")
        return total.hexdigest()
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


Reader = Callable[[Sequence[str]], Iterator[tuple[str, dict[str, Any]]]]


def _reader(path: str, split: str) -> Reader:
    if path.startswith(_HUB) or Path(path).is_dir():
        return lambda columns: _dataset_rows(path, split)
    for ending, rows in ((".jsonl", _json_rows), (".csv", _csv_rows)):
        if path.endswith((ending, f"{ending}.gz")):
            return lambda columns, rows=rows: rows(path)
    if path.endswith(".parquet"):
        return lambda columns: _parquet_rows(path, columns)
    raise UserError("a table is of a kind that is known by its name", got=path, remedy=f"use {_KINDS}")


def _json_rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((f"line {number}", values) for number, values, _ in json_lines(Path(path)))


def _csv_rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    before = csv.field_size_limit(LONGEST_ROW)
    try:
        reader = csv.reader((line for _, line in lines(Path(path))), strict=True)
        names: list[str] | None = None
        while True:
            place = f"line {reader.line_num + 1}"
            try:
                fields = next(reader, None)
            except csv.Error as error:
                refuse(path, place, f"no CSV: {error}", "close its quotes, or double those within")
            if fields is None:
                return
            if names is None:
                names = fields
                if len(set(names)) < len(names):
                    refuse(path, place, f"columns {names}", "give each column a name of its own")
            elif fields:
                if len(fields) != len(names):
                    refuse(path, place, f"{len(fields)} fields for {len(names)} columns", "quote what holds a comma")
                yield place, dict(zip(names, fields, strict=True))
    finally:
        csv.field_size_limit(before)


def _parquet_rows(path: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if any(name not in names for name in columns):
                yield "row 1", dict.fromkeys(names)  # which the caller refuses
            first = 1
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
                for offset in range(batch.num_rows):
                    yield f"row {first + offset}", _arrow_row(path, first + offset, batch.slice(offset, 1))
                first += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _arrow_row(path: str, number: int, row: pa.RecordBatch) -> dict[str, Any]:
    try:
        return row.to_pylist()[0]
    except UnicodeDecodeError as error:
        refuse(path, f"row {number}", f"no UTF-8: {error.reason} at byte {error.start + 1}", "convert it")


def _dataset_rows(path: str, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "sets of Hugging Face's `datasets` need that package",
            got=str(error),
            remedy="pip install afterbase[datasets]",
        ) from error
    try:
        if path.startswith(_HUB):
            loaded = datasets.load_dataset(path.removeprefix(_HUB), split=split)
        else:
            loaded = datasets.load_from_disk(path)
            loaded = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
    except KeyError:
        raise UserError(
            "a set of `datasets` has the split", got=f"no `{split}` in {path}", remedy="name another"
        ) from None
    except Exception as error:  # whatever the hub, a loading script or a folder may raise
        raise UserError(
            "a set of `datasets` can be loaded",
            got=f"{path}: {type(error).__name__}: {error}",
            remedy="name a folder that `save_to_disk` wrote; for a hub's set, allow the network with HF_HUB_OFFLINE=0",
        ) from error
    for number, values in enumerate(loaded, start=1):
        yield f"row {number}", dict(values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
