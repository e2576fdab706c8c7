"""Where the rows of a benchmark come from: a JSONL file in the folder that the user names, or the hub's data set.

Nothing is shipped with this package, for most licences do not allow it. Hub rows are read through the extra `datasets`,
at a fixed revision where we know one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from afterbase.core.errors import UserError, missing_modules, refuse_missing_extra
from afterbase.core.faults import first_fault
from afterbase.core.rows import read_rows

Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file name for `--data`, and the hub's name for the same rows: path, configuration, split, revision.

    `hub` None: it is nowhere on the hub in the form that is needed, and `otherwise` says how to get it.
    """

    file: str
    hub: str | None = None
    config: str | None = None
    split: str = "test"
    revision: str = "main"
    otherwise: str = ""


@dataclass(frozen=True)
class Folder:
    """The user's folder of benchmark files, None for the hub; and the seed of questions that are made anew."""

    path: Path | None
    seed: int = 0

    def missing(self, source: Source) -> str | None:
        """What has to be there for this source and is not; None if it can be read."""
        if self.path is not None and self._file(source) is None:
            return f"{self.path / source.file} (or .gz), which does not exist; {_where(source)}"
        if self.path is None and source.hub is None:
            return f"--data DIR with {source.file}: {source.otherwise}"
        if self.path is None and missing_modules("datasets"):
            return f"`datasets` (pip install 'afterbase[datasets]'), or --data DIR with {source.file}"
        return None

    def rows(self, source: Source, row: type[Row]) -> list[Row]:
        """Every row as a `row`; UserError, with its number, for one that is none."""
        if self.path is None:
            return _hub_rows(source, row)
        file = self._file(source)
        if file is None:
            raise UserError(
                "a benchmark's questions are in the folder of --data",
                got=f"{self.path} without {source.file}",
                remedy=_where(source),
            )
        return read_rows(file, row)

    def _file(self, source: Source) -> Path | None:
        assert self.path is not None
        candidates = (self.path / source.file, self.path / f"{source.file}.gz")
        return next((file for file in candidates if file.is_file()), None)


def _where(source: Source) -> str:
    if source.hub is None:
        return source.otherwise
    config = f", configuration {source.config}" if source.config else ""
    return f"its rows are split `{source.split}` of {source.hub} on the hub{config}, as JSONL"


def _hub_rows(source: Source, row: type[Row]) -> list[Row]:
    assert source.hub is not None
    without = f"--data DIR with {source.file}: {_where(source)}"
    refuse_missing_extra("datasets", "questions from the hub are read through `datasets`", otherwise=without)
    from datasets import load_dataset

    try:
        table: Any = load_dataset(source.hub, source.config, split=source.split, revision=source.revision)
        return [row.model_validate(dict(entry)) for entry in table]
    except ValidationError as error:
        rule = f"{source.hub} has rows with {', '.join(row.model_fields)}"
        raise UserError(rule, got=": ".join(first_fault(error)), remedy=f"use --data DIR with {source.file}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{source.hub} on the hub can be reached, or is in the cache of `datasets`",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            remedy=f"HF_HUB_OFFLINE=0 allows the download; or --data DIR with {source.file}: {_where(source)}",
        ) from error
