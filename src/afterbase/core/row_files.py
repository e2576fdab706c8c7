"""Rows of somebody else's file: JSONL, a JSON list, CSV (plain, .gz or .zst), Parquet or Arrow, each bounded.

A row that cannot be read ends the reading, with its place: one that is passed over in silence would be missed later, or
never. The bound makes a file without line breaks an error and not the end of memory.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.core.sanitize import sanitized

LONGEST_ROW, LONGEST_LIST = 16 << 20, 512 << 20  # bytes
_HEAD = 4096
_BATCH = 256  # rows of Parquet at once: a batch is as long as its rows
_IPC_FILE = b"ARROW1"
PACKED = (".gz", ".zst")
_QUOTED, _LINE_END = re.compile(rb'"[^"]*"?'), re.compile(rb"\r\n|\n|\r")


class Row(NamedTuple):
    """One row; where it stands, counted from 1: `line 12`, `item 12` of a list, `row 12`; its bytes, 0 if not known."""

    place: str
    values: dict[str, Any]
    size: int = 0


def json_rows(path: Path, *, longest: int = LONGEST_ROW, constants: bool = False) -> Iterator[Row]:
    """The object of each line that is not empty, or of each item of one list. UserError, with its place, for another.

    `longest` is of a line, in bytes; a list has at most 512 MiB. NaN and Infinity, which are no JSON, are `constants`.
    """
    if _is_list(path):
        yield from _items(path, constants)
        return
    for number, line in lines(path, longest=longest):
        if line.strip():
            place = f"line {number}"
            yield Row(place, _object(_parsed(line, path, place, constants), path, place), len(line))


def csv_rows(path: Path) -> Iterator[Row]:
    """The fields of each record by the header's names; its place is its first line. UserError as for `json_rows`.

    Lines end in LF, CRLF, or CR alone, as on a classic Mac.
    """
    before = csv.field_size_limit(LONGEST_ROW)
    try:
        reader = csv.reader((line for _, line in lines(path, carriage_returns=_ends_in_cr(path))), strict=True)
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
                yield Row(place, dict(zip(names, fields, strict=True)))
    finally:
        csv.field_size_limit(before)


def parquet_rows(path: Path) -> Iterator[Row]:
    """Each row of Parquet or Arrow. UserError as for `json_rows`."""
    with arrow_batches(path, rows=_BATCH) as (_, batches):
        yield from batch_rows(path, batches)


def batch_rows(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[Row]:
    """The rows of batches, counted from 1. UserError, with the row, for text that is not UTF-8."""
    first = 1
    for batch in batches:
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError:
            rows = [_arrow_row(path, f"row {first + at}", batch.slice(at, 1)) for at in range(batch.num_rows)]
        for at, row in enumerate(rows):
            yield Row(f"row {first + at}", row)
        first += batch.num_rows


@contextmanager
def arrow_batches(path: Path, *, rows: int) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The schema of a file of Parquet or Arrow, and its batches; those of Parquet have `rows` rows at most.

    UserError for a file that cannot be read, and for a column that is there twice.
    """
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                yield _once_each(path, file.schema_arrow), file.iter_batches(batch_size=rows)
        else:
            with pa.memory_map(str(path)) as file:
                if file.read(len(_IPC_FILE)) == _IPC_FILE:  # Arrow's file format; `datasets` writes its stream format
                    reader = pyarrow.ipc.open_file(file)
                    batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
                else:
                    file.seek(0)
                    reader = pyarrow.ipc.open_stream(file)
                    batches = iter(reader)
                yield _once_each(path, reader.schema), batches
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _once_each(path: Path, schema: pa.Schema) -> pa.Schema:
    twice = [name for name, times in Counter(schema.names).items() if times > 1]
    if twice:
        raise UserError(
            "a table of rows has each column once",
            got=f"{', '.join(twice)} twice in {path}",
            remedy="rename the column, or take it out",
        )
    return schema


def lines(path: Path, *, longest: int = LONGEST_ROW, carriage_returns: bool = False) -> Iterator[tuple[int, str]]:
    """(number, text) of each line, from 1. UserError, with the line, for what is no text.

    With `carriage_returns` each CR is read as a line feed.
    """
    try:
        with _open(path) as opened, io.BufferedReader(_LineFeeds(opened)) if carriage_returns else opened as file:
            for number in count(1):
                line = file.readline(longest + 1)
                if not line:
                    return
                if len(line) > longest:
                    refuse_length(path, f"line {number}", longest)
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                        refuse(path, "line 1", "UTF-16 and no UTF-8", "convert it")
                    refuse(path, f"line {number}", json_fault(error), "convert it")
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def json_fault(error: ValueError | RecursionError) -> str:
    """Why Python could not read a text as JSON, in words of our own."""
    match error:
        case json.JSONDecodeError():
            return f"no JSON from character {error.pos + 1} on"
        case UnicodeDecodeError():
            return f"no UTF-8: {error.reason} at byte {error.start + 1}"
        case RecursionError():
            return "no JSON: nested too deeply"
    return "no JSON: a whole number of more than 4,300 digits"


def refuse(path: Path | str, place: str, fault: str, remedy: str) -> NoReturn:
    """The error of a row that cannot be read."""
    raise UserError("every row of a table can be read", got=f"{place} of {path}: {fault}", remedy=remedy)


def refuse_length(path: Path | str, place: str, longest: int = LONGEST_ROW) -> NoReturn:
    """The error of a row that is too long; `longest` in bytes."""
    refuse(path, place, f"more than {longest >> 20} MiB", "cut the row, or leave it out")


def unreadable(path: Path | str, error: Exception) -> UserError:
    """The error of a file that cannot be read."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return UserError(
        "a file of rows is there and can be read", got=f"{path}: {why}", remedy="name a file that is there and whole"
    )


def unpacked_name(path: Path) -> str:
    """The file's name in small letters, without .gz or .zst."""
    name = path.name.lower()
    return next((name.removesuffix(suffix) for suffix in PACKED if name.endswith(suffix)), name)


def _is_list(path: Path) -> bool:
    """Whether it is named .json and its first character that is no white space opens a list."""
    return unpacked_name(path).endswith(".json") and (_head(path).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[")


def _ends_in_cr(path: Path) -> bool:
    """Whether the header's line ends in CR alone; what stands in quotes does not count."""
    end = _LINE_END.search(_QUOTED.sub(b"", _head(path, 16 * _HEAD)))
    return end is not None and end[0] == b"\r"


def _head(path: Path, size: int = _HEAD) -> bytes:
    try:
        with _open(path) as file:
            return file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


class _LineFeeds(io.RawIOBase):
    """A file, with a line feed for each CR."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


def _items(path: Path, constants: bool) -> Iterator[Row]:
    try:
        with _open(path) as file:
            text = file.read(LONGEST_LIST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    if len(text) > LONGEST_LIST:
        refuse(path, "the list", f"more than {LONGEST_LIST >> 20} MiB", "write one object a line")
    try:
        values = _parsed(text.decode("utf-8-sig"), path, "the list", constants)
    except UnicodeDecodeError as error:
        refuse(path, "the list", json_fault(error), "convert it")
    size = len(text) // max(1, len(values))
    for number, item in enumerate(values, start=1):
        yield Row(f"item {number}", _object(item, path, f"item {number}"), size)


def _object(value: Any, path: Path, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(path, place, f"{type(value).__name__} and no object", 'write {"name": value, ...}')
    return value


def _parsed(text: str, path: Path, place: str, constants: bool) -> Any:
    try:
        return json.loads(text, parse_constant=float if constants else _no_constant, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        near = sanitized(text[error.pos : error.pos + 20]).strip()
        fault = json_fault(error) + (f", `{near}`" if near else ", where it ends")
        if text.lstrip()[:1] == "{" and not near:
            fault += ": an object stands on one line"
        if text.lstrip()[:1] == "[" and place != "the list":
            fault += ": a list is read from a file that is named .json"
        refuse(path, place, fault, "correct it")
    except _FaultError as error:
        refuse(path, place, str(error), "correct it")
    except RecursionError as error:
        refuse(path, place, json_fault(error), "correct it")
    except ValueError as error:
        refuse(path, place, json_fault(error), "write it as text")


class _FaultError(Exception):
    """What is read as JSON by Python and is none, or would be lost."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise _FaultError(f"no JSON: `{sanitized(next(n for n in names if names.count(n) > 1))}` twice in one object")
    return values


def _no_constant(name: str) -> NoReturn:
    raise _FaultError(f"{name} is no JSON")


def _arrow_row(path: Path, place: str, row: pa.RecordBatch) -> dict[str, Any]:
    try:
        return row.to_pylist()[0]
    except UnicodeDecodeError as error:
        refuse(path, place, json_fault(error), "convert it")


def _open(path: Path) -> Any:
    match path.suffix.lower():
        case ".gz":
            return gzip.open(path)
        case ".zst":
            return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
    return path.open("rb")
