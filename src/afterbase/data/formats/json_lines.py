"""Lines of somebody else's file, plain or .gz: each in UTF-8 and not too long, or named with its place.

A line that cannot be read ends the reading: one that is passed over in silence would be missed later, or never. The
bound makes a file without line breaks an error and not the end of memory.
"""

import base64
import datetime
import decimal
import gzip
import json
import math
import uuid
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from afterbase.core.errors import UserError
from afterbase.core.rows import json_fault
from afterbase.core.sanitize import sanitized

LONGEST_ROW = 16 << 20  # bytes
_HEAD, _LONGEST_LIST = 4096, 512 << 20


def json_lines(path: Path, *, longest: int = LONGEST_ROW) -> Iterator[tuple[int, dict[str, Any], int]]:
    """(number, object, characters) of each line that is not empty, from 1. UserError, with the line, for another.

    A file named .json that is one JSON list gives its items, from 1, where it is no longer than 512 MiB.
    """
    if path.name.removesuffix(".gz").endswith(".json") and _is_list(path):
        yield from _items(path)
        return
    for number, line in lines(path, longest=longest):
        if not line.strip():
            continue
        place = f"line {number}"
        values = _parsed(line, path, place)
        if not isinstance(values, dict):
            refuse(path, place, f"{type(values).__name__} and no object", 'write {"name": value, ...}')
        yield number, values, len(line)


def as_json(value: Any) -> Any:
    """A value as JSON knows it: times and decimals as text, bytes as base64, what is no number by its name.

    ValueError for what has no such form.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else "NaN" if math.isnan(value) else f"{value:+}"[:1] + "Infinity"
        case bytes():
            return {"base64": base64.b64encode(value).decode()}
        case dict():
            return {str(key): as_json(part) for key, part in value.items()}
        case list() | tuple():
            return [as_json(part) for part in value]
        case datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal() | datetime.timedelta() | uuid.UUID():
            return str(value)
    raise ValueError(f"a {type(value).__name__}, which JSON does not know")


def _is_list(path: Path) -> bool:
    """Whether the first character that is no white space opens a list."""
    try:
        with _open(path) as file:
            return file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def _items(path: Path) -> Iterator[tuple[int, dict[str, Any], int]]:
    try:
        with _open(path) as file:
            text = file.read(_LONGEST_LIST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    if len(text) > _LONGEST_LIST:
        refuse(path, "the list", f"more than {_LONGEST_LIST >> 20} MiB", "write one object a line")
    try:
        values = _parsed(text.decode("utf-8-sig"), path, "the list")
    except UnicodeDecodeError as error:
        refuse(path, "the list", f"no UTF-8: {error.reason} at byte {error.start + 1}", "convert it")
    size = len(text) // max(1, len(values))
    for number, item in enumerate(values, start=1):
        if not isinstance(item, dict):
            refuse(path, f"item {number}", f"{type(item).__name__} and no object", 'write {"name": value, ...}')
        yield number, item, size


def _parsed(text: str, path: Path, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
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


def lines(path: Path, *, longest: int = LONGEST_ROW) -> Iterator[tuple[int, str]]:
    """(number, text) of each line, from 1. UserError, with the line, for what is no text."""
    try:
        with _open(path) as file:
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
                    refuse(path, f"line {number}", f"no UTF-8: {error.reason} at byte {error.start + 1}", "convert it")
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error


def refuse(path: Path | str, place: str, fault: str, remedy: str) -> NoReturn:
    """The error of a row that cannot be read."""
    raise UserError("every row of a table can be read", got=f"{place} of {path}: {fault}", remedy=remedy)


def refuse_length(path: Path | str, place: str, longest: int = LONGEST_ROW) -> NoReturn:
    """The error of a row that is too long; `longest` in bytes."""
    refuse(path, place, f"more than {longest >> 20} MiB", "cut the row, or leave it out")


def unreadable(path: Path | str, error: Exception) -> UserError:
    """The error of a file that cannot be read."""
    return UserError("a table can be read", got=f"{path}: {error}", remedy="name a file that is there and whole")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _no_constant(name: str) -> NoReturn:
    raise _FaultError(f"{name} is no JSON")
