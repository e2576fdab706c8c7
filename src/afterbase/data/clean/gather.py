"""Sources of rows as pieces that workers can read by themselves: row groups of Parquet files of samples.

A Parquet file of samples in small row groups is left where it is. Anything else is copied into the work folder first,
row group by row group, so that a file may be larger than memory.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.data.clean.buckets import Column, text_hash
from afterbase.data.clean.check_rows import Piece
from afterbase.data.formats.read import read_tables

_LARGEST, _BYTES = 8192, 256 << 20  # of a row group that is left as it is


def gather(
    sources: Sequence[Path], scratch: Path, domain: str, show: Callable[[int], None]
) -> tuple[list[Piece], npt.NDArray[np.int64]]:
    """Pieces in order, and how many rows there are up to the end of each. UserError for what is no row."""
    given = _GivenIds()
    pieces: list[Piece] = []
    rows: list[int] = []
    for number, source in enumerate(sources):
        path = source
        if not _fits(source):
            path = scratch / f"rows-{number:03}.parquet"
            if not path.is_file():
                _copy(source, path, domain, given, lambda n: show(sum(rows) + n))  # noqa: B023  (called at once)
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        pieces += [Piece(path.resolve(), i) for i, n in enumerate(groups) if n]
        rows += [n for n in groups if n]
        show(sum(rows))
    return pieces, np.cumsum(np.array(rows, np.int64))


def _fits(path: Path) -> bool:
    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            return file.schema_arrow.equals(SAMPLE_SCHEMA) and all(
                g.num_rows <= _LARGEST and g.total_byte_size <= _BYTES for g in groups
            )
    except (pa.ArrowException, OSError):
        return False  # read_tables says what is wrong


def _copy(source: Path, path: Path, domain: str, given: "_GivenIds", show: Callable[[int], None]) -> None:
    part, rows = path.with_suffix(".part"), 0
    with pq.ParquetWriter(part, SAMPLE_SCHEMA, compression="lz4") as writer:
        for table in read_tables(source, domain=domain):
            given.add(table, source)
            writer.write_table(table)
            rows += table.num_rows
            show(rows)
    given.refuse_double(source)
    part.replace(path)


class _GivenIds:
    """Ids that files give to their rows: one id for rows that differ is a mistake in the file. 16 bytes a row."""

    def __init__(self) -> None:
        self._ids, self._contents = Column(np.uint64), Column(np.uint64)

    def add(self, table: pa.Table, source: Path) -> None:
        pairs = [
            (text_hash(json.dumps(json.loads(extra)["source_id"]) + str(source)), text_hash(own))
            for own, extra in zip(table["id"].to_pylist(), table["extra"].to_pylist(), strict=True)
            if '"source_id"' in extra and "source_id" in json.loads(extra)
        ]
        both = np.array(pairs, np.uint64).reshape(-1, 2)
        self._ids.append(both[:, 0])
        self._contents.append(both[:, 1])

    def refuse_double(self, source: Path) -> None:
        """UserError where one id has several contents."""
        order = np.argsort(self._ids.values, kind="stable")
        ids, contents = self._ids.values[order], self._contents.values[order]
        double = np.flatnonzero((ids[1:] == ids[:-1]) & (contents[1:] != contents[:-1]))
        if len(double):
            first, second = sorted(int(order[double[0] + k]) + 1 for k in (0, 1))
            raise UserError(
                "an id is that of one row",
                got=f"rows {first} and {second} of those with an id in {source} share theirs and differ",
                remedy="give them ids of their own, or take the ids out",
            )
