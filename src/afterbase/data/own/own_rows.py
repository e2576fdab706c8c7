"""Rows of a user's own files: which files, what form they have, which share of them is used, what each row says.

A row that is odd is left out, with its place and the reason. What is wrong with a whole file ends the reading: another
form than its first row's, a column that is nearly named as one that is known, no rows, what the readers of files
refuse.
"""

import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import Field, PositiveInt, field_validator

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.core.row_files import Row
from afterbase.core.store import Store, write_atomically
from afterbase.data.formats.files_of_rows import files_digest, files_of, is_arrow, is_csv, rows_of_file
from afterbase.data.formats.json_values import as_json
from afterbase.data.own.own_samples import unfolded
from afterbase.data.own.row_forms import FORMS, KNOWN, SCORES, Form, form_of, has_form, missing, misspelt, used
from afterbase.data.own.row_turns import WrongRowError

T = TypeVar("T")
_NUMBERS = {"margin", *(name for pair in SCORES for name in pair)}
_IN_MEMORY = (".work", "rows")  # below the store: where rows in memory are written
_FIRST = 100  # rows among which the one that tells a file's form is looked for


class OwnRows(Config):
    """Files of rows, and how they are read.

    >>> OwnRows(files=("rows.jsonl", "more/*.parquet=0.5"), trained="last").form
    'auto'
    """

    files: How[tuple[str, ...]] = Field(min_length=1)
    """Paths, folders, patterns, hub:ORG/NAME, each with `=WEIGHT` behind it where not all of its rows are used once."""
    form: Literal["auto", Form] = "auto"
    """What the rows are; auto: told by the names of their columns."""
    trained: Literal["all", "last"] = "all"
    """Which of the assistant's turns bear loss, but for those that a row takes out."""
    split: str = "train"
    """Of a folder that has several."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Their name of a column: ours."""
    limit: PositiveInt | None = None
    """Rows that are kept at most."""

    @field_validator("files", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @field_validator("columns")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value.values():
            if name not in KNOWN:
                raise UserError(
                    "a column is mapped to a name that is known here",
                    got=f"`{name}`",
                    remedy=f"use one of {', '.join(sorted(KNOWN))}",
                )
        return value

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], *, store: Store, **settings: Any) -> "OwnRows":
        """The settings for rows in memory: dictionaries, or a `datasets.Dataset`.

        They are written once as JSONL below the store's work folder, under a name that their content gives. UserError,
        with the row, for what JSON does not know.
        """
        lines = []
        for number, row in enumerate(rows, start=1):
            try:
                lines.append(json.dumps(as_json(_without_nan(dict(row))), sort_keys=True, allow_nan=False) + "\n")
            except (TypeError, ValueError) as error:
                raise UserError(
                    "rows in memory are dictionaries of what JSON knows",
                    got=f"row {number}: {error}",
                    remedy="leave other values out of the rows",
                ) from error
        data = "".join(lines).encode()
        path = store.root.joinpath(*_IN_MEMORY) / f"{hashlib.sha256(data).hexdigest()[:16]}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            write_atomically(path, data)
        return cls(files=(str(path),), **settings)


def _without_nan(value: Any) -> Any:
    """None for NaN, by which data frames mean a missing value."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


class Dropped(NamedTuple):
    """A row that is left out, and why."""

    row: str
    rule: str


class Kept(NamedTuple, Generic[T]):
    """A row that is used: its place, its form, its values without nulls, and what it says."""

    place: str
    form: Form
    row: dict[str, Any]
    said: T


@dataclass
class Reading(Generic[T]):
    """What was read: the kept rows in order, those left out, and how many there were.

    `unused` are columns that nothing read.
    """

    kept: list[Kept[T]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    rows: int = 0
    forms: dict[Form, None] = field(default_factory=dict)
    unused: dict[str, None] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """The form of the rows; of files of several forms all, with `+` between."""
        return "+".join(self.forms)


class _Entry(NamedTuple):
    """Files that one entry of `files` means, and its weight."""

    files: list[Path]
    weight: float


def digests(config: OwnRows) -> list[list[Any]]:
    """[SHA-256 of the content, weight] of each entry of `files`; what an artifact's key holds of them."""
    return [[files_digest(entry.files), entry.weight] for entry in _entries(config)]


def row_files(config: OwnRows) -> list[Path]:
    """All files that `files` means, in order."""
    return [file for entry in _entries(config) for file in entry.files]


def read_own(
    config: OwnRows, forms: Collection[Form], parse: Callable[[Mapping[str, Any], Form, bool], T], *, seed: int
) -> Reading[T]:
    """The rows of all files, each as `parse` makes it of its values, its form, and whether every cell is a text.

    `parse` raises ValueError for a row that is left out, WrongRowError for one that ends the reading. UserError, with
    file and row, for what is wrong, for a form that is not among `forms`, and where no row is left.
    """
    reading: Reading[T] = Reading()
    entries = _entries(config)
    labels = _labels(row_files(config))
    for number, entry in enumerate(entries):
        left = None if config.limit is None else config.limit - len(reading.kept)
        rows = (row for file in entry.files for row in _one_file(config, file, labels[file], forms, parse, reading))
        kept = list(itertools.islice(rows, left if entry.weight == 1 else None))
        reading.kept += _weighted(kept, entry.weight, f"{seed}/{number}")[:left]
    if not reading.kept:
        got = f"{reading.rows} rows, none of them used"
        if reading.dropped:
            got = f"{reading.rows} rows, all of them left out; the first, {reading.dropped[0].row}: "
            got += reading.dropped[0].rule
        raise UserError(
            "files of rows give at least one that is used", got=got, remedy="correct the rows, or name other files"
        )
    return reading


def _one_file(
    config: OwnRows,
    file: Path,
    label: str,
    forms: Collection[Form],
    parse: Callable[[Mapping[str, Any], Form, bool], T],
    reading: Reading[T],
) -> Iterator[Kept[T]]:
    """The kept rows of a file; those left out are noted in `reading`."""
    rows = _renamed(config, file)
    head = list(itertools.islice(rows, _FIRST))
    form = _form_of_file(config, file, forms, head)
    reading.forms[form] = None
    there: dict[str, None] = {}
    for row in itertools.chain(head, rows):
        reading.rows += 1
        place = f"{label}:{row.place}"
        values = {name: value for name, value in row.values.items() if value is not None}
        try:
            _refuse_half_characters(values)
            _refuse_dropped(values)
            there |= dict.fromkeys(values)
            _refuse_other_form(config, form, row.values, values)
            said = parse(values, form, is_csv(file))
        except WrongRowError as error:
            raise UserError(
                error.rule, got=f"{row.place} of {_told(file)}: {error.got}", remedy=error.remedy
            ) from error
        except ValueError as error:
            reading.dropped.append(Dropped(place, str(error)))
        else:
            reading.unused |= dict.fromkeys(name for name in there if name not in used(there, form))
            yield Kept(place, form, values, said)


def _told(file: Path) -> str:
    """What messages call a file: rows that were in memory have none that the user knows."""
    return "the rows in memory" if file.parent.parts[-2:] == _IN_MEMORY else str(file)


def _refuse_dropped(values: Mapping[str, Any]) -> None:
    dropped = values.get("dropped")
    if isinstance(dropped, Mapping) and {"stage", "rule"} <= set(dropped):
        raise ValueError(f"dropped before, by {dropped['stage']}: {dropped['rule']}")


def _refuse_half_characters(values: Mapping[str, Any]) -> None:
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate)") from None


def _form_of_file(config: OwnRows, file: Path, forms: Collection[Form], rows: Sequence[Row]) -> Form:
    """The form that the settings name, else that of the first row's columns. UserError where it is not wanted.

    A column that is null in the first of the `rows` counts if it is not in one of the next.
    """
    if not rows:
        raise UserError("a file of rows has at least one", got=f"none in {_told(file)}", remedy="name another file")
    columns = list(rows[0].values)
    filled = [name for name in columns if any(row.values.get(name) is not None for row in rows)]
    form = form_of(filled) if config.form == "auto" else config.form
    if config.form == "auto" and list(forms) == ["labelled"] and has_form(filled, "labelled"):
        form = "labelled"  # where labels are wanted, a whole conversation beside one is judged
    found = form if form is not None and form in forms and has_form(columns, form) else None
    if found is not None and config.form != "auto":
        return found
    there = f"{', '.join(map(str, columns)) or 'none'} in {rows[0].place} of {_told(file)}"
    # A misspelt answer would leave a prompt alone, or a text: there, all names that could be meant are compared.
    meant: Collection[Form] = forms if found is None or found in ("prompts", "text") else [found]
    if (near := misspelt(columns, meant)) is not None:
        raise UserError(
            "the form of rows is told by the names of their columns",
            got=f"`{near[0]}` among the columns {there}",
            remedy=f"did you mean `{near[1]}`? Rename the column, or name the form",
        )
    if found is not None:
        return found
    lacks = f"{form} rows, " if form is not None and has_form(columns, form) else ""
    raise UserError(
        f"rows of the form {', '.join(f for f in FORMS if f in forms)} are read here",
        got=f"{lacks}columns {there}",
        remedy="name another file, map its columns to the names in docs/data.md (`columns`), or name the form",
    )


def _refuse_other_form(config: OwnRows, form: Form, columns: Mapping[str, Any], filled: Mapping[str, Any]) -> None:
    """ValueError for a row with a null where the form needs a value, WrongRowError for a row of another form."""
    other = form_of(filled) if config.form == "auto" else None
    if other == form:
        return
    unlabelled = {"prompt_completion", "alpaca", "chat", "sharegpt"}
    part = {None, "prompts", "text"} | (unlabelled if form == "labelled" else set())
    if has_form(columns, form) and other in part:  # what is left of a row of this form, where some of it is null
        if has_form(filled, form):
            return
        raise ValueError(f"{missing(filled, form, columns)} is null")
    near = misspelt(list(columns), [form])
    raise WrongRowError(
        "the rows of a file have one form",
        got=f"columns {', '.join(map(str, columns)) or 'none'} ({other or 'no form'}), after rows of the form {form}",
        remedy=f"did you mean `{near[1]}`?" if near else "put rows of other forms into a file of their own",
    )


def _renamed(config: OwnRows, file: Path) -> Iterator[Row]:
    """The rows of a file under our names of columns. UserError where a column to rename is not in the first row."""
    for number, found in enumerate(rows_of_file(file)):
        values: dict[str, Any] = {}
        row = found._replace(values=unfolded(_nulls_apart(file, found.values)))
        for name, value in row.values.items():
            ours = config.columns.get(name, name)
            if ours in values or (ours != name and ours in row.values and ours not in config.columns):
                raise UserError(
                    "a column stands for one thing",
                    got=f"`{name}` and `{ours}` in {_told(file)}, both as `{ours}`",
                    remedy="map the other one to a name of its own, or take it out of the file",
                )
            values[ours] = value
        if number == 0:
            _refuse_unknown(config, file, row)
        yield row._replace(values=values)


def _refuse_unknown(config: OwnRows, file: Path, row: Row) -> None:
    for name in config.columns:
        if name not in row.values:
            raise UserError(
                "a column to rename is in the file",
                got=f"no `{name}` among {', '.join(map(str, row.values)) or 'none'} in {row.place} of {_told(file)}",
                remedy="correct `columns`",
            )


def _nulls_apart(file: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Values of a CSV, where an empty cell is none, or of Arrow, where a struct has null for what a row lacks."""
    if is_csv(file):
        return {name: _number(cell) if name in _NUMBERS else cell or None for name, cell in values.items()}
    if is_arrow(file):
        return {name: _without_nulls(value) for name, value in values.items()}
    return values


def _number(cell: str) -> float | str | None:
    try:
        return float(cell) if cell.strip() else None
    except ValueError:
        return cell


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _weighted(kept: Sequence[Kept[T]], weight: float, seed: str) -> list[Kept[T]]:
    """Each row as often as the weight's whole part says, and of its rest a share that the seed draws, in order."""
    whole = math.floor(weight)
    some = sorted(random.Random(seed).sample(range(len(kept)), round((weight - whole) * len(kept))))
    return [*kept] * whole + [kept[place] for place in some]


def _entries(config: OwnRows) -> list[_Entry]:
    return [_entry(text, config.split) for text in config.files]


def _entry(text: str, split: str) -> _Entry:
    path, mark, tail = text.rpartition("=")
    if not mark or "/" in tail or Path(text).expanduser().exists():
        return _Entry(files_of(text, split=split), 1.0)
    try:
        weight = float(tail)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise UserError(
            "a weight is a number above 0: the share of a file's rows that is used",
            got=f"`{tail}` in `{text}`",
            remedy="write PATH=0.5 for half of the rows, or the path alone for all of them",
        )
    return _Entry(files_of(path, split=split), weight)


def _labels(files: Sequence[Path]) -> dict[Path, str]:
    """What a file is called in places: its name, with as many of its folders as tell it from the others."""
    same: dict[str, list[Path]] = {}
    for file in files:
        same.setdefault(file.name, []).append(file)
    labels: dict[Path, str] = {}
    for file in files:
        others = [other.parts for other in same[file.name] if other != file]
        depth = 1
        while any(other[-depth:] == file.parts[-depth:] for other in others):
            depth += 1
        labels[file] = "/".join(file.parts[-depth:])
    return labels
