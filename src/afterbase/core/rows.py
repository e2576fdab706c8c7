"""Rows of a user's file, read by `row_files.py`, each checked by a model before anything is computed on it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from afterbase.core.errors import UserError
from afterbase.core.faults import first_fault
from afterbase.core.row_files import LONGEST_LIST, PACKED, Row, csv_rows, json_rows, refuse

Model = TypeVar("Model", bound=BaseModel)
_MOST = 2 << 30  # bytes that a packed file may hold: all rows are in memory, and a small file may hold more than that


def read_rows(path: Path, model: type[Model]) -> list[Model]:
    """Every object of JSONL, or of a JSON list in a .json, as a `model`. UserError, with its place, for another.

    Texts may hold half a surrogate pair, as models write them, and numbers may be NaN, where the model takes them.
    """
    return _checked(_bounded(json_rows(path, longest=min(LONGEST_LIST, _MOST), constants=True), path), path, model)


def read_table(path: Path, model: type[Model]) -> list[Model]:
    """Every record of a CSV as a `model`; an empty cell is None. UserError as for `read_rows`."""
    rows = (Row(row.place, {name: cell or None for name, cell in row.values.items()}) for row in csv_rows(path))
    return _checked(rows, path, model)


def refuse_repeats(keys: Iterable[object], where: Path | str, rule: str = "nothing is judged twice") -> None:
    """UserError where a key is there more than once."""
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        shown = ", ".join(repr(key)[:60] for key in twice[:3])
        raise UserError(rule, got=f"{shown} more than once in {where}", remedy="keep one of each")


def _bounded(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    size = 0
    for row in rows:
        size += row.size
        if size > _MOST and path.suffix.lower() in PACKED:
            refuse(path, row.place, f"a packed file of more than {_MOST >> 20:,} MiB", "split it")
        yield row


def _checked(rows: Iterable[Row], path: Path, model: type[Model]) -> list[Model]:
    checked = []
    for row in rows:
        try:
            checked.append(model.model_validate(row.values))
        except ValidationError as error:
            where, fault = first_fault(error)
            raise UserError(
                f"a row has {', '.join(model.model_fields)}",
                got=f"{row.place} of {path}: {where or 'the row'}: {fault}",
                remedy="correct it",
            ) from error
    if not checked:
        raise UserError("a file of rows has at least one", got=f"none in {path}", remedy="name another file")
    return checked
