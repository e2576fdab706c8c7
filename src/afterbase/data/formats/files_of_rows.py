"""Files of rows by their names: which files a path, a pattern or a folder means, and the rows of each.

A file is known by its name: JSONL, JSON, CSV (plain, .gz or .zst), Parquet, Arrow. A folder is one that `save_to_disk`
of the `datasets` library wrote, or holds files of one kind; of a folder with several splits one is chosen.
"""

import glob
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.core.row_files import (
    LONGEST_ROW,
    Row,
    csv_rows,
    json_rows,
    parquet_rows,
    unpacked_name,
    unreadable,
)

KINDS = "JSONL, JSON, CSV (plain, .gz or .zst), Parquet, Arrow, or a folder that `datasets` saved"
_JSON, _ARROW = (".jsonl", ".json", ".ndjson"), (".parquet", ".arrow")
_SPLIT = re.compile(r"(?<![a-z])(train|test|validation|valid|val|dev|eval)(?![a-z])", re.IGNORECASE)
_SHARD = re.compile(r"-\d+-of-\d+$")
_IN_FOLDERS = ("data/*.parquet", "*.parquet", "*.arrow", "*.jsonl", "*.jsonl.gz", "*.jsonl.zst", "*.csv")


def is_arrow(path: Path) -> bool:
    """Whether it is Parquet or Arrow, where a struct has all its fields in each row, null or not."""
    return path.suffix.lower() in _ARROW


def is_csv(path: Path) -> bool:
    """Whether every cell is a text."""
    return unpacked_name(path).endswith(".csv")


def rows_of_file(path: Path, *, longest: int = LONGEST_ROW) -> Iterator[Row]:
    """The rows of one file; `longest` is of a line of JSON, in bytes.

    UserError, with the place, for what is no row, and for a file of another kind.
    """
    if is_arrow(path):
        return parquet_rows(path)
    if unpacked_name(path).endswith(_JSON):
        return json_rows(path, longest=longest)
    if is_csv(path):
        return csv_rows(path)
    raise UserError(
        f"rows are read from {KINDS}", got=str(path), remedy="convert it, or rename it if it is one of those"
    )


def files_of(path: str | Path, *, split: str | None = None) -> list[Path]:
    """The files that hold the rows of a file, a folder, a pattern such as `data/*.jsonl` or hub:ORG/NAME, in order.

    UserError where there is none, and for a folder of several splits without the `split` that is wanted, or, without
    one, of more than one.
    """
    if str(path).startswith(hub.PREFIX):
        return _of_hub(str(path), split)
    whole = Path(path).expanduser()
    if whole.is_dir():
        return _in_folder(whole, split)
    if whole.is_file():
        return [whole]
    if not glob.has_magic(str(whole)):
        raise UserError("a file of rows exists", got=f"no file or folder {path}", remedy="name another")
    matching = [Path(name) for name in sorted(glob.glob(str(whole), recursive=True))]
    if not matching:
        raise UserError("a pattern matches a file", got=f"none matches {path}", remedy="correct the pattern")
    return [file for found in matching for file in ([found] if found.is_file() else _in_folder(found, split))]


def files_digest(files: Sequence[Path]) -> str:
    """SHA-256 of what files hold, in hexadecimal: of one file its bytes', of several that of theirs in order."""
    digests = []
    for path in files:
        try:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise unreadable(path, error) from error
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _of_hub(path: str, split: str | None) -> list[Path]:
    """Those of a data set of the hub; UserError, with its folders, where none is in the place that is named."""
    place = hub.download_rows(path)
    try:
        return files_of(place, split=split)
    except UserError as error:
        folders = sorted({str(p.parent.relative_to(place)) for p in place.glob("**/*") if p.is_file()} - {"."})
        raise UserError(
            "a data set of the hub has rows in `data/` or beside its card, or the folder or file that is named",
            got=f"{path}: {error.got}",
            remedy=f"name one of its folders, such as {path}/{folders[0]}" if folders else error.remedy,
        ) from error


def _in_folder(path: Path, split: str | None) -> list[Path]:
    """What `save_to_disk` wrote, as `load_from_disk` reads it; else the files of a split."""
    files = _saved_files(path, split) or _files(path, split)
    if not files:
        raise UserError(
            "a folder of rows holds Parquet, Arrow, JSONL or CSV files", got=f"none in {path}", remedy="name another"
        )
    return files


def _saved_files(path: Path, split: str | None) -> list[Path]:
    """The files that the folder's own state.json names, or those of a split; none without one."""
    if (path / "dataset_dict.json").is_file():
        splits = [str(name) for name in _json(path / "dataset_dict.json").get("splits", [])]
        return _saved_files(path / _chosen(path, splits, split), None)
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


def _files(path: Path, split: str | None) -> list[Path]:
    """`data/*.parquet` as on the Hub, or the files of one other kind, but for the caches of `map` and `filter`."""
    found = (sorted(file for file in path.glob(kind) if not file.name.startswith("cache-")) for kind in _IN_FOLDERS)
    files = next((kind for kind in found if kind), [])
    splits = [said.group().lower() if (said := _SPLIT.search(file.stem)) else "" for file in files]
    if not any(splits):
        return files
    whole = [_SHARD.sub("", file.stem) for file in files]
    if len({*zip(splits, whole, strict=True)}) > len({*splits}) and any(_SHARD.search(file.stem) for file in files):
        splits = whole  # such as train_sft and train_gen, which are not one another's parts
    chosen = _chosen(path, list(dict.fromkeys(splits)), split)
    return [file for file, said in zip(files, splits, strict=True) if said == chosen]


def _chosen(path: Path, splits: Sequence[str], split: str | None) -> str:
    """The wanted split; the only one where none is asked for."""
    if split is None and len(splits) == 1:
        return splits[0]
    if split is None:
        raise UserError(
            "of a folder with several splits one is named",
            got=_named(path, splits),
            remedy=f"name the folder or the files of one, such as {path / min(splits, default='train')}",
        )
    if split not in splits:
        raise UserError(
            "a set of rows has the split", got=f"no `{split}`: {_named(path, splits)}", remedy="name another"
        )
    return split


def _named(path: Path, splits: Iterable[str]) -> str:
    return f"{', '.join(sorted(filter(None, splits))) or 'none'} in {path}"


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not isinstance(value, dict):
        raise UserError("a folder of `datasets` describes itself", got=f"{path} is no object", remedy="save it again")
    return value
