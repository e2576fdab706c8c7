"""Samples to files: Parquet, JSONL in chat or ShareGPT form, a folder that `datasets.load_dataset` reads.

Every form keeps every field, so that `read.py` gives the same samples back; readers that want the turns alone find them
under `messages` or `conversations`. What is written is whole or not there.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.data.formats.json_values import as_json

Form = Literal["parquet", "chat", "sharegpt", "datasets"]
_SPEAKERS = {"user": "human", "assistant": "gpt"}


def export(tables: Iterable[pa.Table], path: Path, form: Form) -> int:
    """Write the kept rows of tables of `SAMPLE_SCHEMA`; how many there were. UserError where `path` is there."""
    if path.exists():
        raise UserError("an export does not overwrite", got=f"{path} is there", remedy="name another, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        return _WRITERS[form](map(kept, tables), part)


def kept(table: pa.Table) -> pa.Table:
    """The rows that nothing has dropped."""
    return table.filter(table["dropped"].is_null())


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to write a file or folder at, which gets its name once all is written; on an error nothing stays."""
    part = path.with_name(f"{path.name}.part")
    _remove(part)
    try:
        yield part
        part.replace(path)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _parquet(tables: Iterable[pa.Table], path: Path) -> int:
    rows = 0
    with pq.ParquetWriter(path, SAMPLE_SCHEMA) as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table)
            rows += table.num_rows
    return rows


def _folder(tables: Iterable[pa.Table], path: Path) -> int:
    (path / "data").mkdir(parents=True)
    return _parquet(tables, path / "data/train-00000-of-00001.parquet")


def _chat(tables: Iterable[pa.Table], path: Path) -> int:
    return _jsonl(tables, path, with_marks)


def _sharegpt(tables: Iterable[pa.Table], path: Path) -> int:
    def spoken(row: dict[str, Any]) -> dict[str, Any]:
        turns = with_marks(row).pop("messages")
        said = [_as_spoken(**turn) for turn in turns]
        return {"id": row.pop("id"), "conversations": said, **row}

    return _jsonl(tables, path, spoken)


def _as_spoken(*, role: str, content: str, **others: Any) -> dict[str, Any]:
    return {"from": _SPEAKERS.get(role, role), "value": content, **others}


def with_marks(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what its `extra` says of single turns put into them: other fields, and weight 0 for context.

    Definitions of tools stand beside them, where every reader looks for them.
    """
    others, context = row["extra"].pop("turns", {}), row["extra"].pop("untrained", [])
    row |= {"tools": row["extra"].pop("tools")} if "tools" in row["extra"] else {}
    row["messages"] = [
        {**turn, **others.get(str(place), {}), **({"weight": 0} if place in context else {})}
        for place, turn in enumerate(row["messages"])
    ]
    return row


def _jsonl(tables: Iterable[pa.Table], path: Path, shape: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for table in tables:
            for row in table.to_pylist():
                row["producer"], row["extra"] = json.loads(row["producer"]), json.loads(row["extra"])
                del row["dropped"]
                file.write(json.dumps(shape(as_json(row)), ensure_ascii=False, allow_nan=False) + "\n")
            rows += table.num_rows
    return rows


_WRITERS: dict[Form, Callable[[Iterable[pa.Table], Path], int]] = {
    "parquet": _parquet,
    "chat": _chat,
    "sharegpt": _sharegpt,
    "datasets": _folder,
}
