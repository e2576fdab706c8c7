"""Rows of files as samples, from every file that `files_of_rows.py` reads, in every form that trainings read.

The columns tell the form of each row (`data/own/row_forms.py`); what of a conversation is honoured: `conversations.py`.
What is odd of one row of preferences, of labels or of prompts drops it, with the reason.
`domain`, `kind`, `problem_id`, `parents`, `producer`, `verdicts`, `dropped` and `extra` are taken where they are there;
null is not there. Any other key goes to `extra`, such as `source` and `license`. Ids are derived from content; a file's
own `id` that is another goes to `extra.source_id`, as its own `turns` and `untrained` go to `extra.source_turns` and
`extra.source_untrained`.

Read in pieces of at most 4,096 rows and about 32 MB, so that a file may be larger than memory. UserError, with the
line, for what is no row.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from afterbase.core.errors import UserError
from afterbase.core.row_files import Row, arrow_batches, batch_rows
from afterbase.core.sample import SAMPLE_SCHEMA, sample_id
from afterbase.data.formats.conversations import SYSTEM, TOOLS, Conversation, conversation_of
from afterbase.data.formats.files_of_rows import files_of, is_arrow, is_csv, rows_of_file
from afterbase.data.formats.json_values import as_json
from afterbase.data.own.own_samples import Said, said_of
from afterbase.data.own.row_forms import LICENCES, form_of, used
from afterbase.data.own.row_turns import WrongRowError

ROWS, _BYTES = 4096, 32 << 20
_LONGEST = 1 << 27  # a long row is for the filters to drop, with its reason; this is a file without line breaks
_OPTIONAL = ("problem_id", "parents", "producer", "verdicts", "dropped", "extra")
_TAKEN = {"id", "messages", "conversations", "domain", "kind", *_OPTIONAL, *SYSTEM, *TOOLS}
_KEPT = {*LICENCES, "source"}  # columns that stay in `extra`, whatever the form
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
    """The rows of a file, folder or pattern, as tables of `SAMPLE_SCHEMA`; `domain` is that of rows which name none."""
    for file in files_of(path):
        yield from (
            _arrow(file, domain) if is_arrow(file) else _tables(rows_of_file(file, longest=_LONGEST), file, domain)
        )


def _arrow(path: Path, domain: str) -> Iterator[pa.Table]:
    with arrow_batches(path, rows=ROWS) as (schema, batches):
        if schema.equals(SAMPLE_SCHEMA):
            for batch in batches:
                yield pa.Table.from_batches([batch], SAMPLE_SCHEMA)
            return
        yield from _tables(batch_rows(path, batches), path, domain)


def _tables(rows: Iterable[Row], path: Path, domain: str) -> Iterator[pa.Table]:
    batch: list[dict[str, Any]] = []
    places: list[str] = []
    size = 0
    for place, raw, length in rows:
        try:
            batch.append(_record({name: value for name, value in raw.items() if value is not None}, path, domain))
        except WrongRowError as error:
            raise UserError(error.rule, got=f"{place} of {path}: {error.got}", remedy=error.remedy) from error
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
    said, taken, why_not = _said(raw, path)
    conversation = said.conversation
    for name, (fits, form) in _FORMS.items():
        if name in raw and not fits(raw[name]):
            raise ValueError(f"`{name}` is {form}")
    record: dict[str, Any] = {name: raw[name] for name in _OPTIONAL if name in raw}
    producer, extra = _producer(record.get("producer", {}), path), _object(record.get("extra", {}), "extra")
    kind, of = str(raw.get("kind", said.kind or "imported")), str(raw.get("domain", domain))
    extra |= {f"source_{key}" if key in _OURS else key: value for key, value in raw.items() if key not in taken}
    extra |= said.beside
    turns = extra.get("turns", {})
    if not isinstance(turns, dict) or not all(isinstance(turn, dict) for turn in turns.values()):
        raise ValueError("`extra.turns` is an object of objects, one for each turn")
    before = extra.get("untrained", [])
    extra |= conversation.extra()
    if conversation.untrained:
        extra["untrained"] = sorted({*(before if isinstance(before, list) else []), *conversation.untrained})
    identifier = sample_id(of, kind, conversation.messages, producer, extra)
    if (own := raw.get("id")) is not None and own != identifier:
        extra["source_id"] = own
    return {
        "problem_id": None,
        "parents": [],
        "verdicts": [],
        "dropped": None if why_not is None else {"stage": "read", "rule": why_not, "score": None},
        **record,
        "id": identifier,
        "messages": conversation.messages,
        "domain": of,
        "kind": kind,
        "producer": _dumped(producer),
        "extra": _dumped(extra),
    }


def _said(raw: dict[str, Any], path: Path) -> tuple[Said, set[str], str | None]:
    """What a row says, the columns that are no part of `extra`, and why it is dropped, if it is."""
    form = form_of(raw)
    if form is None and not {"messages", "conversations"} & set(raw):
        raise ValueError(f"neither `messages` nor another form's columns: {', '.join(map(str, raw))[:200] or 'none'}")
    if form in (None, "chat") or (form == "sharegpt" and "conversations" in raw):
        return Said(conversation_of(raw)), _TAKEN, None
    taken = {*_TAKEN, *used(raw, form)} - _KEPT
    try:
        return said_of(raw, form, texts=is_csv(path)), taken, None
    except ValueError as error:
        return Said(Conversation([])), _TAKEN, str(error)


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
        "a row is a JSON object in UTF-8, in one of the forms of docs/data.md, such as `messages` ({role, content})",
        got=f"{place} of {path}: {what}",
        remedy="correct the row, or take it out",
    )
