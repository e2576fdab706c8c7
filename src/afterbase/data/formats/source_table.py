"""Rows of a table that somebody else wrote: what `files_of_rows.py` reads, or a set of `datasets` from its hub.

A row that cannot be read, or is above 16 MiB, ends the reading with its place (`core/row_files.py` says why).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.row_files import (
    LONGEST_ROW,
    Row,
    refuse,
    refuse_length,
)
from afterbase.data.formats.files_of_rows import files_digest, files_of, rows_of_file

_HUB = "hub:"


def read_table(path: str, *, split: str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a table in their order, `columns` alone; `split` is for `datasets`, a file has no other than its own.

    Raises UserError, with the place, for a table that is not there or is broken, a column that is missing, a row that
    is too long, and text that is not UTF-8.
    """
    for place, values, _ in _rows(path, split, columns):
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
        for _, values, _ in read_table(path, split=split, columns=columns):
            total.update(_text(values).encode() + b"\n")
        return total.hexdigest()
    return files_digest(files_of(path))


def _rows(path: str, split: str, columns: Sequence[str]) -> Iterator[Row]:
    if path.startswith(_HUB):
        yield from _hub_rows(path, split)
        return
    files = files_of(path, split=split if Path(path).is_dir() else None)
    for number, file in enumerate(files):
        for row in rows_of_file(file, columns=columns):
            yield row if len(files) == 1 else row._replace(place=f"{row.place} of {files[number].name}")


def _hub_rows(path: str, split: str) -> Iterator[Row]:
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "sets of Hugging Face's `datasets` need that package",
            got=str(error),
            remedy="pip install afterbase[datasets]",
        ) from error
    try:
        loaded = datasets.load_dataset(path.removeprefix(_HUB), split=split)
    except Exception as error:  # whatever the hub or a loading script may raise
        raise UserError(
            "a set of `datasets` can be loaded",
            got=f"{path}: {type(error).__name__}: {error}",
            remedy="name a set that is there, and allow the network with HF_HUB_OFFLINE=0",
        ) from error
    for number, values in enumerate(loaded, start=1):
        yield Row(f"row {number}", dict(values))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
