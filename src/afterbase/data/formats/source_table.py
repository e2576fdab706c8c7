"""Rows of a table that somebody else wrote: JSONL, CSV (both plain or .gz), Parquet, or a set of `datasets`.

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
    csv_rows,
    json_rows,
    parquet_rows,
    refuse,
    refuse_length,
    unreadable,
)

_HUB = "hub:"
_KINDS = "JSONL, CSV (both plain or .gz), Parquet, a folder of `datasets`, or hub:ORG/NAME"


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
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _rows(path: str, split: str, columns: Sequence[str]) -> Iterator[Row]:
    if path.startswith(_HUB) or Path(path).is_dir():
        return _dataset_rows(path, split)
    if path.endswith((".jsonl", ".jsonl.gz")):
        return json_rows(Path(path))
    if path.endswith((".csv", ".csv.gz")):
        return csv_rows(Path(path))
    if path.endswith(".parquet"):
        return parquet_rows(Path(path), columns)
    raise UserError("a table is of a kind that is known by its name", got=path, remedy=f"use {_KINDS}")


def _dataset_rows(path: str, split: str) -> Iterator[Row]:
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
        yield Row(f"row {number}", dict(values))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
