"""Clean: rules on each row, decontamination, duplicates, mixture; every row that leaves with its stage, rule and score.

    rows -> check (many workers, in any place) -> duplicates (one process, in order) -> mixture -> rows, marked

Rows stream through in pieces. What was checked is kept on disk, so that an interrupted run goes on where it was; what
grows with the rows in memory is the state of the deduplicator and 40 bytes a row, together under 400 bytes.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from pydantic import Field

from afterbase.core.config import How, what
from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.core.store import write_atomically
from afterbase.data.clean.check_rows import CHECKED, Piece, RowChecks, check_piece
from afterbase.data.clean.decontaminate import Contamination, load_benchmark
from afterbase.data.clean.dedup import Deduplicator
from afterbase.data.clean.gather import gather
from afterbase.data.clean.parallel_map import Workers, refuse_without_ray, spread
from afterbase.data.clean.row_decisions import Decisions
from afterbase.data.clean.semantic import Encoder, Semantic, SemanticDeduplicator
from afterbase.data.clean.shingles import HASHES
from afterbase.data.mixture import Drawn, Shares

_CHECKED_AS = 2  # to be raised when rows are checked differently
Show = Callable[[str, int, int], None]
"""Called with what is being done, rows done, and rows in all."""


class Cleaning(RowChecks):
    """All that cleaning may be told."""

    semantic: Semantic | None = None
    """None: two rows that say the same in other words both stay."""
    mixture: Shares = Shares()
    """Shares of domains, and how often a row is used."""
    seed: int = Field(default=0, ge=0)
    """Of the choice of rows where a domain has too many."""
    workers: How[Workers] = Workers()
    """Processes that do it."""


@dataclass(frozen=True)
class Job:
    """What is cleaned, and where the work on it is kept: `scratch` may be deleted once the tables were read."""

    sources: tuple[Path, ...]
    scratch: Path
    cleaning: Cleaning
    benchmarks: tuple[Path, ...] = ()
    domain: str = "unnamed"

    def fingerprint(self) -> str:
        """Of all that the checks of the rows depend on. UserError where a file is missing or of no use."""
        Contamination([load_benchmark(path) for path in self.benchmarks], self.cleaning.decontamination.overlap)
        settings = what(self.cleaning)
        settings = {name: settings[name] for name in RowChecks.model_fields}
        files = [file_digest(path) for path in (*self.sources, *self.benchmarks)]
        made_by = [_CHECKED_AS, HASHES, version("rensa"), self.domain, len(self.sources)]
        return hashlib.sha256(json.dumps([settings, files, made_by], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Cleaned:
    """The outcome: what each domain gave, and the rows, marked, as tables in the order in which they came."""

    drawn: list[Drawn]
    crowded: int
    """Keys of kept rows that duplicates were not looked for under, because too many rows have them."""
    tables: Callable[[], Iterator[pa.Table]]


def clean(job: Job, show: Show = lambda *_: None) -> Cleaned:
    """Decide about every row. UserError for rows, files or settings that cannot be."""
    refuse_without_ray(job.cleaning.workers)
    _begin(job.scratch, job.fingerprint())
    pieces, ends = gather(job.sources, job.scratch, job.domain, lambda done: show("read", done, done))
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        raise UserError("there are rows to clean", got="none", remedy="name other files")
    decisions = Decisions()
    deduplicator = Deduplicator(job.cleaning.dedup.similarity, scratch=job.scratch) if job.cleaning.dedup else None
    for number, checked in enumerate(_checked(job, pieces)):
        decisions.add(_columns(pieces[number]), checked, deduplicator)
        show("check", int(ends[number]), total)
    if job.cleaning.semantic is not None:
        _by_meaning(job.cleaning.semantic, job.scratch, pieces, ends, decisions, show)
    _refuse_double_ids(decisions)
    drawn, times = decisions.mixed(job.cleaning.mixture, job.cleaning.seed)
    crowded = 0 if deduplicator is None else deduplicator.crowded

    def tables() -> Iterator[pa.Table]:
        originals = _ids(pieces, ends, {int(row) for row in decisions.of.values[decisions.of.values >= 0]})
        for number, piece in enumerate(pieces):
            end = int(ends[number])
            yield _marked(job, number, piece, end, decisions, times, originals)
            show("write", end, total)

    return Cleaned(drawn, crowded, tables)


def _begin(scratch: Path, fingerprint: str) -> None:
    """An empty work folder, or the one that the same job left."""
    mark = scratch / "job"
    if not mark.is_file() or mark.read_text() != fingerprint:
        shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "checked").mkdir(parents=True, exist_ok=True)
    write_atomically(mark, fingerprint.encode())


def _checked(job: Job, pieces: Sequence[Piece]) -> Iterator[pa.Table]:
    """What is decided about the rows of each piece, in order; made now, or found."""
    paths = [_checked_at(job, number) for number in range(len(pieces))]
    missing = {number: None for number, path in enumerate(paths) if not path.is_file()}
    settings = RowChecks(**{name: getattr(job.cleaning, name) for name in RowChecks.model_fields})
    work = partial(check_piece, config=settings, benchmarks=tuple(p.resolve() for p in job.benchmarks))
    made = spread(work, [pieces[number] for number in missing], job.cleaning.workers)
    for number, path in enumerate(paths):
        if number in missing:
            part = path.with_suffix(".part")
            with pyarrow.ipc.new_file(str(part), CHECKED) as file:
                file.write_table(next(made))
            part.replace(path)
        yield _read(path)


def _checked_at(job: Job, number: int) -> Path:
    return job.scratch / "checked" / f"{number:06}.arrow"


def _read(path: Path) -> pa.Table:
    with pa.OSFile(str(path)) as file, pyarrow.ipc.open_file(file) as reader:
        return reader.read_all()


def _columns(piece: Piece) -> pa.Table:
    with pq.ParquetFile(piece.path) as file:
        return file.read_row_group(piece.group, columns=["id", "domain", "dropped"])


def _by_meaning(
    settings: Semantic, scratch: Path, pieces: Sequence[Piece], ends: np.ndarray, decisions: Decisions, show: Show
) -> None:
    """Drop rows that repeat an earlier one in other words."""
    encode = Encoder(settings)
    deduplicator = SemanticDeduplicator(settings.similarity, scratch / "vectors")
    for piece, end in zip(pieces, ends.tolist(), strict=True):
        with pq.ParquetFile(piece.path) as file:
            messages = file.read_row_group(piece.group, columns=["messages"])["messages"].to_pylist()
        start = end - len(messages)
        rows = (start + np.flatnonzero(decisions.staying()[start:end])).tolist()
        texts = ["\n".join(turn["content"] for turn in messages[row - start]) for row in rows]
        found = [(row, f) for row, f in zip(rows, deduplicator.decide(encode(texts), rows), strict=True) if f]
        decisions.repeat([r for r, _ in found], [f[0] for _, f in found], [f[1] for _, f in found], "same in meaning")
        show("embed", end, int(ends[-1]))


def _ids(pieces: Sequence[Piece], ends: np.ndarray, wanted: set[int]) -> dict[int, str]:
    """The ids of some rows, by number."""
    rows = np.array(sorted(wanted), np.int64)
    found: dict[int, str] = {}
    for piece, start, end in zip(pieces, [0, *ends], ends, strict=False):
        mine = rows[(rows >= start) & (rows < end)]
        if len(mine):
            with pq.ParquetFile(piece.path) as file:
                ids = file.read_row_group(piece.group, columns=["id"])["id"].take(pa.array(mine - start))
            found.update(zip(mine.tolist(), ids.to_pylist(), strict=True))
    return found


def _refuse_double_ids(decisions: Decisions) -> None:
    """UserError where two rows that stay have one id: they differ, or one would be the other's duplicate."""
    stays = np.flatnonzero(decisions.staying())
    ids = decisions.ids.values[stays]
    order = np.argsort(ids, kind="stable")
    equal = np.flatnonzero(ids[order][1:] == ids[order][:-1])
    if len(equal):
        first, second = (int(stays[order[equal[0] + k]]) + 1 for k in (0, 1))
        raise UserError(
            "an id is that of one row", got=f"rows {first} and {second} share theirs, and {len(equal) - 1} more pairs",
            remedy="give rows that differ ids of their own, or leave `dedup` on if they are the same",
        )  # fmt: skip


def _marked(
    job: Job, number: int, piece: Piece, end: int, decisions: Decisions, times: np.ndarray, originals: dict[int, str]
) -> pa.Table:
    """A piece's rows with their drops, those that are used more than once as often as that."""
    with pq.ParquetFile(piece.path) as file:
        table = file.read_row_group(piece.group)
    rows = slice(end - table.num_rows, end)
    rules = list(decisions.rules)
    before = table["dropped"].to_pylist()
    extras = table["extra"].to_pylist()
    notes = _read(_checked_at(job, number))["note"].to_pylist()
    decided = zip(decisions.codes.values[rows].tolist(), decisions.scores.values[rows].tolist(), strict=True)
    for i, (code, score) in enumerate(decided):
        stage, rule = rules[code]
        if not stage:
            continue
        before[i] = {"stage": stage, "rule": rule, "score": None if np.isnan(score) else score}
        if stage == "dedup":
            extras[i] = _with(extras[i], "duplicate_of", originals[int(decisions.of.values[rows][i])])
        elif notes[i] is not None:
            extras[i] = _with(extras[i], "contaminated_by", notes[i])
    table = table.set_column(table.schema.get_field_index("dropped"), "dropped", [_typed(before, "dropped")])
    table = table.set_column(table.schema.get_field_index("extra"), "extra", [_typed(extras, "extra")])
    repeated = np.repeat(np.arange(table.num_rows), np.maximum(times[rows], 1))
    return table.take(repeated) if len(repeated) > table.num_rows else table


def _typed(values: list, name: str) -> pa.Array:
    return pa.array(values, SAMPLE_SCHEMA.field(name).type)


def _with(extra: str, key: str, value: str | int) -> str:
    return json.dumps({**json.loads(extra), key: value}, sort_keys=True, ensure_ascii=False)


def file_digest(path: Path) -> str:
    """sha256 of a file, or of the files of a folder by name."""
    if path.is_dir():
        parts = [f"{p.relative_to(path)} {file_digest(p)}" for p in sorted(path.rglob("*")) if p.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    if not path.is_file():
        raise UserError("a file to read exists", got=f"no file or folder {path}", remedy="name another")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
