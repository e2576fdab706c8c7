"""Rows of a user's JSONL file (plain or gzip), each checked against a type before anything is computed on it."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from afterbase.core.errors import UserError

Row = TypeVar("Row", bound=BaseModel)


def read_rows(path: Path, row: type[Row]) -> list[Row]:
    """Every line as a `row`; empty lines are passed over. UserError, with its number, for a line that is not one."""
    rows = []
    for number, line in _lines(path):
        try:
            rows.append(row.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise UserError(
                f"a line is a JSON object with {', '.join(row.model_fields)}",
                got=f"line {number} of {path}: {place}: {first['msg']}",
                remedy="correct the line",
            ) from error
    if not rows:
        raise UserError("a file of cases has at least one line", got=f"none in {path}", remedy="name another file")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise UserError(
            "a file of cases can be read", got=f"{path}: {error}", remedy="name a JSONL file, plain or .gz"
        ) from error
