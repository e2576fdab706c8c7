"""Lines of somebody else's file, plain or .gz: each in UTF-8 and not too long, or named with its place.

A line that cannot be read ends the reading: one that is passed over in silence would be missed later, or never. The
bound makes a file without line breaks an error and not the end of memory.
"""

import gzip
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from afterbase.core.errors import UserError

LONGEST_ROW = 16 << 20  # bytes


def json_lines(path: Path, *, longest: int = LONGEST_ROW) -> Iterator[tuple[int, dict[str, Any], int]]:
    """(number, object, characters) of each line that is not empty, from 1. UserError, with the line, for another."""
    for number, line in lines(path, longest=longest):
        if not line.strip():
            continue
        try:
            values = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            refuse(path, f"line {number}", f"no JSON: {error}", "correct the line")
        if not isinstance(values, dict):
            refuse(path, f"line {number}", f"{type(values).__name__} and no object", 'write {"name": value, ...}')
        yield number, values, len(line)


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
                    refuse(path, f"line {number}", f"no UTF-8: {error.reason} at byte {error.start + 1}", "convert it")
    except (OSError, EOFError) as error:
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
    raise ValueError(f"{name} is no JSON")
