"""Rows of a user's file (JSONL, CSV or a JSON list, plain or gzip), each checked before anything is computed on it."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from afterbase.core.errors import UserError
from afterbase.core.faults import first_fault

Row = TypeVar("Row", bound=BaseModel)
_MOST, _PIECE = 2 << 30, 1 << 20  # bytes that a .gz may hold, and of a read


def read_rows(path: Path, row: type[Row]) -> list[Row]:
    """Every line of JSONL as a `row`; empty lines are passed over. UserError, with its number, for one that is not."""
    rows = []
    for number, line in _lines(path):
        try:
            rows.append(row.model_validate_json(line))
        except ValidationError as error:
            raise _not_a_row(row, path, f"line {number}", error) from error
    return _some(rows, path)


def read_objects(path: Path, row: type[Row]) -> list[Row]:
    """As `read_rows`, by Python's reading of JSON: texts may hold half a surrogate pair, as models write them."""
    rows = []
    for number, line in _lines(path):
        try:
            rows.append(row.model_validate(json.loads(line)))
        except ValidationError as error:
            raise _not_a_row(row, path, f"line {number}", error) from error
        except (ValueError, RecursionError) as error:
            raise _not_a_row(row, path, f"line {number}", f"the line: {json_fault(error)}") from error
    return _some(rows, path)


def read_table(path: Path, row: type[Row]) -> list[Row]:
    """Every line of a CSV below its header as a `row`; an empty cell is None. UserError as for `read_rows`."""
    rows = []
    try:
        for cells in (reader := csv.DictReader(io.StringIO(_bytes(path).decode("utf-8-sig"), newline=""), strict=True)):
            if None in cells or None in cells.values():
                raise _not_a_row(row, path, f"line {reader.line_num}", "cells: not as many as in the header")
            rows.append(row.model_validate({name: cell or None for name, cell in cells.items()}))
    except ValidationError as error:
        raise _not_a_row(row, path, f"line {reader.line_num}", error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError("a table is CSV in UTF-8", got=f"{path}: {error}", remedy="correct the file") from error
    return _some(rows, path)


def read_array(path: Path, row: type[Row]) -> list[Row]:
    """Every object of a JSON list as a `row`. UserError, with its number from 1, for one that is not."""
    try:
        objects = json.loads(_bytes(path))
        fault = None if isinstance(objects, list) else "it is no list"
    except (ValueError, RecursionError) as error:
        objects, fault = [], json_fault(error)
    if fault is not None:
        raise UserError("a file of rows is a JSON list", got=f"{path}: {fault}", remedy="correct the file")
    rows = []
    for number, item in enumerate(objects, start=1):
        try:
            rows.append(row.model_validate(item))
        except ValidationError as error:
            raise _not_a_row(row, path, f"object {number}", error) from error
    return _some(rows, path)


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


def _not_a_row(row: type[BaseModel], path: Path, place: str, found: ValidationError | str) -> UserError:
    if isinstance(found, ValidationError):
        where, fault = first_fault(found)
        found = f"{where or f'the {place.split()[0]}'}: {fault}"
    fields = ", ".join(row.model_fields)
    return UserError(f"a row has {fields}", got=f"{place} of {path}: {found}", remedy="correct it")


def _some(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise UserError("a file of rows has at least one", got=f"none in {path}", remedy="name another file")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(_bytes(path).split(b"\n"), start=1):
        if line.strip():
            yield number, line


def _bytes(path: Path) -> bytes:
    try:
        return _unpacked(path) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(
            "a file of rows can be read", got=f"{path}: {why}", remedy="name a file, plain or .gz"
        ) from error


def _unpacked(path: Path) -> bytes:
    """What a .gz holds, counted while it is read: a small file may hold more than memory does."""
    pieces, size = [], 0
    with gzip.open(path) as file:
        while piece := file.read(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > _MOST:
                raise UserError(
                    f"a packed file of rows holds at most {_MOST >> 20:,} MiB", got=f"more in {path}", remedy="split it"
                )
    return b"".join(pieces)
