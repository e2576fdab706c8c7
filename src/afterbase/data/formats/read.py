"""Rows of files as samples: Parquet, Arrow, JSONL in chat or ShareGPT form (plain or gzip), folders of `datasets`.

A row has `messages` ({role, content}) or `conversations` ({from, value}); what of them is honoured: `conversations.py`.
`domain`, `kind`, `problem_id`, `parents`, `producer`, `verdicts`, `dropped` and `extra` are taken where they are there;
null is not there. Any other key goes to `extra`, such as `source` and `license`. Ids are derived from content; a file's
own `id` that is another goes to `extra.source_id`, as its own `turns` and `untrained` go to `extra.source_turns` and
`extra.source_untrained`.

Read in pieces of at most 4,096 rows and about 32 MB, so that a file may be larger than memory. UserError, with the
line, for what is no row.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.core.row_files import Row, json_rows, unreadable
from afterbase.core.sample import SAMPLE_SCHEMA, sample_id
from afterbase.data.formats.conversations import SYSTEM, conversation_of
from afterbase.data.formats.json_values import as_json

ROWS, _BYTES = 4096, 32 << 20
_LONGEST = 1 << 27  # a long row is for the filters to drop, with its reason; this is a file without line breaks
_IPC_FILE = b"ARROW1"
_SPLIT = re.compile(r"(?<![a-z])(train|test|validation|valid|val|dev|eval)(?![a-z])", re.IGNORECASE)
_OPTIONAL = ("problem_id", "parents", "producer", "verdicts", "dropped", "extra")
_TAKEN = {"id", "messages", "conversations", "domain", "kind", *_OPTIONAL, *SYSTEM}
_OURS = ("turns", "untrained")  # what `extra` says of single turns: a column of that name is somebody else's
_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "domain": (lambda v: isinstance(v, str | int) and v != "", "a name"),
    "kind": (lambda v: isinstance(v, str | int) and v != "", "a name"),
    "problem_id": (lambda v: isinstance(v, str), "a text"),
    "parents": (lambda v: isinstance(v, list) and all(isinstance(p, str) for p in v), "a list of ids"),
    "verdicts": (lambda v: isinstance(v, list) and all(isinstance(p, dict) for p in v), "a list of verdicts"),
    "dropped": (lambda v: isinstance(v, dict), "an object that says stage and rule"),
}


def read_tables(path: Path, *, domain: str = "unnamed") -> Iterator[pa.Table]:
    """The rows of a file or folder, as tables of `SAMPLE_SCHEMA`; `domain` is that of rows which name none."""
    if path.is_dir():
        yield from _folder(path, domain)
    elif not path.is_file():
        raise UserError("a file of rows exists", got=f"no file or folder {path}", remedy="name another")
    elif path.suffix == ".parquet":
        yield from _parquet(path, domain)
    elif path.suffix == ".arrow":
        yield from _arrow(path, domain)
    elif path.name.removesuffix(".gz").endswith((".jsonl", ".json", ".ndjson")):
        yield from _tables(json_rows(path, longest=_LONGEST), path, domain)
    else:
        raise UserError(
            "rows are read from .parquet, .arrow, .jsonl and .json (.gz too), or a folder of the `datasets` library",
            got=str(path),
            remedy="convert it, or rename it if it is one of those",
        )


def _folder(path: Path, domain: str) -> Iterator[pa.Table]:
    """What `save_to_disk` wrote, as `load_from_disk` reads it; else the Parquet or Arrow files of a single split."""
    files = _saved_files(path) or _files(path)
    if not files:
        raise UserError("a folder of rows holds Parquet or Arrow files", got=f"none in {path}", remedy="name another")
    for file in files:
        yield from _parquet(file, domain) if file.suffix == ".parquet" else _arrow(file, domain)


def _saved_files(path: Path) -> list[Path]:
    """The files that the folder's own state.json names, or those of its only split; none without one."""
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits", [])
        if len(splits) != 1:
            raise _several_splits(path, splits, f"name one, such as {path / str(min(splits, default='train'))}")
        return _saved_files(path / str(splits[0]))
    if not (path / "state.json").is_file():
        return []
    state = _json(path / "state.json")
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise UserError(
            "a folder of `datasets` holds its rows themselves",
            got=f"{path}, which holds a selection of them by index",
            remedy="call `flatten_indices()` before `save_to_disk`",
        )
    return [path / str(file["filename"]) for file in state["_data_files"]]


def _files(path: Path) -> list[Path]:
    """`data/*.parquet` as on the Hub, `*.parquet`, or `*.arrow` but for the caches of `map` and `filter`."""
    arrow = (file for file in path.glob("*.arrow") if not file.name.startswith("cache-"))
    files = sorted(path.glob("data/*.parquet")) or sorted(path.glob("*.parquet")) or sorted(arrow)
    splits = {found.group().lower() if (found := _SPLIT.search(file.stem)) else "" for file in files}
    if len(splits) > 1:
        raise _several_splits(path, splits, "name the files of one, or put them into a folder of their own")
    return files


def _several_splits(path: Path, splits: Iterable[str], remedy: str) -> UserError:
    names = ", ".join(sorted(map(str, splits))) or "none"
    return UserError("of a folder with several splits one is named", got=f"{names} in {path}", remedy=remedy)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(value, dict):
        raise UserError("a folder of `datasets` describes itself", got=f"{path} is no object", remedy="save it again")
    return value


def _parquet(path: Path, domain: str) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=ROWS)
            yield from _batches(batches, file.schema_arrow, path, domain)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _arrow(path: Path, domain: str) -> Iterator[pa.Table]:
    try:
        with pa.memory_map(str(path)) as file:
            if file.read(len(_IPC_FILE)) == _IPC_FILE:  # Arrow's file format; `datasets` writes its stream format
                reader = pyarrow.ipc.open_file(file)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
                yield from _batches(batches, reader.schema, path, domain)
            else:
                file.seek(0)
                with pyarrow.ipc.open_stream(file) as stream:
                    yield from _batches(stream, stream.schema, path, domain)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def _batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, domain: str) -> Iterator[pa.Table]:
    if schema.equals(SAMPLE_SCHEMA):
        for batch in batches:
            yield pa.Table.from_batches([batch], SAMPLE_SCHEMA)
        return
    if not {"messages", "conversations"} & set(schema.names):
        raise UserError(
            "a table of rows has a column `messages` or `conversations`",
            got=f"{', '.join(schema.names[:12])} in {path}",
            remedy="rename the column, or make one",
        )
    if len(set(schema.names)) < len(schema.names):
        raise UserError(
            "a table of rows has each column once",
            got=f"{', '.join(n for n, count in Counter(schema.names).items() if count > 1)} twice in {path}",
            remedy="rename the column, or take it out",
        )
    yield from _tables(_rows(batches, path), path, domain)


def _rows(batches: Iterable[pa.RecordBatch], path: Path) -> Iterator[Row]:
    number = 0
    for batch in batches:
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError as error:
            raise _no_row(
                path, f"row {number + 1}", "text that is no UTF-8, in it or in one of the next rows"
            ) from error
        for row in rows:
            number += 1
            yield Row(f"row {number}", row)


def _tables(rows: Iterable[Row], path: Path, domain: str) -> Iterator[pa.Table]:
    batch: list[dict[str, Any]] = []
    places: list[str] = []
    size = 0
    for place, raw, length in rows:
        try:
            batch.append(_record({name: value for name, value in raw.items() if value is not None}, path, domain))
        except ValueError as error:
            raise _no_row(path, place, str(error)) from error
        places.append(place)
        size += length
        if len(batch) >= ROWS or size >= _BYTES:
            yield _table(batch, places, path)
            batch, places, size = [], [], 0
    if batch:
        yield _table(batch, places, path)


def _record(raw: dict[str, Any], path: Path, domain: str) -> dict[str, Any]:
    """One row of `SAMPLE_SCHEMA` of a row without nulls. ValueError, in words for the user, where it is none."""
    conversation = conversation_of(raw)
    for name, (fits, form) in _FORMS.items():
        if name in raw and not fits(raw[name]):
            raise ValueError(f"`{name}` is {form}")
    record: dict[str, Any] = {name: raw[name] for name in _OPTIONAL if name in raw}
    producer, extra = _producer(record.get("producer", {}), path), _object(record.get("extra", {}), "extra")
    kind, said = str(raw.get("kind", "imported")), str(raw.get("domain", domain))
    extra |= {f"source_{key}" if key in _OURS else key: value for key, value in raw.items() if key not in _TAKEN}
    turns = extra.get("turns", {})
    if not isinstance(turns, dict) or not all(isinstance(turn, dict) for turn in turns.values()):
        raise ValueError("`extra.turns` is an object of objects, one for each turn")
    if conversation.untrained:
        before = extra.get("untrained", [])
        extra["untrained"] = sorted({*(before if isinstance(before, list) else []), *conversation.untrained})
    if conversation.others:
        extra["turns"] = conversation.others
    identifier = sample_id(said, kind, conversation.messages, producer, extra)
    if (own := raw.get("id")) is not None and own != identifier:
        extra["source_id"] = own
    return {
        "problem_id": None,
        "parents": [],
        "verdicts": [],
        "dropped": None,
        **record,
        "id": identifier,
        "messages": conversation.messages,
        "domain": said,
        "kind": kind,
        "producer": _dumped(producer),
        "extra": _dumped(extra),
    }


def _producer(value: Any, path: Path) -> dict[str, Any]:
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        value = {"name": value} if value else {}
    return _object(value, "producer") or {"name": path.name}


def _object(value: Any, name: str) -> dict[str, Any]:
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise ValueError(f"`{name}` is an object, or one as JSON text") from None
    if not isinstance(value, dict):
        raise ValueError(f"`{name}` is an object")
    return dict(value)


def _dumped(value: dict[str, Any]) -> str:
    text = json.dumps(as_json(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate) beside the turns") from None
    return text


def _table(batch: Sequence[dict[str, Any]], places: Sequence[str], path: Path) -> pa.Table:
    try:
        return pa.Table.from_pylist(list(batch), SAMPLE_SCHEMA)
    except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError) as error:
        for place, record in zip(places, batch, strict=True):
            try:
                pa.Table.from_pylist([record], SAMPLE_SCHEMA)
            except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError) as first:
                raise _no_row(path, place, f"fields of other types: {first}") from error
        raise


def _no_row(path: Path, place: str, what: str) -> UserError:
    return UserError(
        "a row is a JSON object in UTF-8, with `messages` ({role, content}) or `conversations` ({from, value})",
        got=f"{place} of {path}: {what}",
        remedy="correct the row, or take it out",
    )
