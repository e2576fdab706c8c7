"""Rows of a table that somebody else wrote: what `files_of_rows.py` reads, here or in a data set of the hub.

A row that cannot be read, or is above 16 MiB, ends the reading with its place (`core/row_files.py` says why).
"""

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.core.row_files import (
    LONGEST_ROW,
    Row,
    refuse,
    refuse_length,
)
from afterbase.data.formats.files_of_rows import files_digest, files_of, rows_of_file


def read_table(path: str, *, split: str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table in their order, each with `columns` at least; `split` is one of a folder.

    Raises UserError, with the place, for a table that is not there or is broken, a column that is missing, a row that
    is too long, and text that is not UTF-8.
    """
    for row in _rows(path, split):
        for name in columns:
            if name not in row.values:
                refuse_missing(path, row, name)
        try:
            size = sum(len(_text(value).encode()) for value in row.values.values())
        except UnicodeEncodeError as error:
            refuse(path, row.place, f"half a character: {error.reason}", "correct the row, or leave it out")
        if size > LONGEST_ROW:
            refuse_length(path, row.place)
        yield row


def first_row(path: str, *, split: str) -> Row:
    """The first row of a table. UserError as for `read_table`, and where there is none."""
    for row in _rows(path, split):
        return row
    raise UserError("a table has rows", got=f"none in {path}", remedy="name another")


def refuse_missing(path: str, row: Row, name: str) -> NoReturn:
    """The error of a row without a column, with the name there that is nearest."""
    there = [str(column) for column in row.values]
    near = difflib.get_close_matches(name, there, n=1)
    remedy = f"did you mean `{near[0]}`?" if near else "name another"
    refuse(path, row.place, f"no column `{name}` among {', '.join(there) or 'none'}", remedy)


def table_digest(path: str, *, split: str) -> str:
    """SHA-256 of what a table says, in hexadecimal: its files' bytes."""
    return files_digest(_files(path, split))


def _rows(path: str, split: str) -> Iterator[Row]:
    files = _files(path, split)
    for file in files:
        for row in rows_of_file(file):
            yield row if len(files) == 1 else row._replace(place=f"{row.place} of {file.name}")


def _files(path: str, split: str) -> list[Path]:
    named = path.startswith(hub.PREFIX) or Path(path).is_dir()
    return files_of(path, split=split if named else None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
