"""What is decided about each row by itself, and the sketches by which duplicates are found: pure, to run anywhere.

A piece is a row group of a Parquet file of samples. What comes out has a row for each row that came in: stage, rule and
score of the first rule that it breaks, a note (which benchmark's item), and for the others their sketches.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.config import Config
from afterbase.data.clean.decontaminate import Contamination, Decontamination, load_benchmark
from afterbase.data.clean.dedup import BANDS, Dedup, Sketches, joined, sketch, sketch_tokens
from afterbase.data.clean.filters import PROMPT, Filters, first_broken, repetition, run_of_one_character
from afterbase.data.clean.shingles import Tokens, tokens
from afterbase.data.own.own_samples import PROMPT_KIND

_BATCH = 128  # rows; their arrays stay in the cache
_TURN = " \x01 "  # spaces around it, so that those of a turn do not count
CHECKED = pa.schema(
    [
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("score", pa.float64()),
        ("note", pa.string()),
        ("characters", pa.int64()),
        ("digest", pa.binary(16)),
        ("bands", pa.binary(4 * BANDS)),
        ("shingles", pa.list_(pa.uint32())),
    ]
)


class RowChecks(Config):
    """The rules that a row is held to by itself."""

    filters: Filters = Filters()
    """Rules on each row."""
    decontamination: Decontamination = Decontamination()
    """Leaves out rows that hold an item of a benchmark."""
    dedup: Dedup | None = Dedup()
    """None: duplicates stay."""


@dataclass(frozen=True)
class Piece:
    """A row group of a Parquet file."""

    path: Path
    group: int


@dataclass(frozen=True)
class Decision:
    """Why a row leaves."""

    stage: str
    rule: str
    score: float | None = None
    note: str | None = None


def check_piece(piece: Piece, config: RowChecks, benchmarks: tuple[Path, ...]) -> pa.Table:
    """A row group of samples as a table of `CHECKED`."""
    with pq.ParquetFile(piece.path) as file:
        table = file.read_row_group(piece.group, columns=["messages", "dropped", "kind"])
    rows = list(map(_turns, table["messages"].to_pylist(), table["kind"].to_pylist()))
    out = table["dropped"].is_valid().to_numpy(zero_copy_only=False)
    return check_rows(rows, out, config, _contamination(benchmarks, config.decontamination.overlap))


def _turns(messages: Sequence[dict[str, str]], kind: str) -> list[tuple[str, str]]:
    """(role, text) of each turn; the last one of a sample without an answer, by its kind, has the role `prompt`."""
    turns = [(turn["role"], turn["content"]) for turn in messages]
    unanswered = kind == PROMPT_KIND and turns and turns[-1][0] == "user"
    return [*turns[:-1], (PROMPT, turns[-1][1])] if unanswered else turns


@functools.lru_cache(maxsize=1)
def _contamination(benchmarks: tuple[Path, ...], overlap: float) -> Contamination:
    return Contamination([load_benchmark(path) for path in benchmarks], overlap)


def check_rows(
    rows: Sequence[Sequence[tuple[str, str]]],
    out: np.ndarray,
    config: RowChecks,
    benchmarks: Contamination,
) -> pa.Table:
    """Rows of (role, text) turns; those that are `out` already are passed over."""
    decisions: list[Decision | None] = []
    sketches = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        broken = [
            None if gone else first_broken(row, config.filters)
            for row, gone in zip(batch, out[start : start + _BATCH], strict=True)
        ]
        live = [not gone and b is None for gone, b in zip(out[start : start + _BATCH], broken, strict=True)]
        # Rows that are out have no turns from here on: they cost nothing, and are like no other row.
        turns = [[text for _, text in row] if alive else [] for row, alive in zip(batch, live, strict=True)]
        found = _by_tokens(turns, config, benchmarks)
        decisions += [
            d if b is None else Decision("filter", b.rule, b.score)
            for b, d in zip(broken, found.decisions, strict=True)
        ]
        sketches.append(found.sketches)
    whole = joined(sketches or [sketch([], 1)])
    return pa.table(
        [
            pa.array([d and d.stage for d in decisions], pa.string()),
            pa.array([d and d.rule for d in decisions], pa.string()),
            pa.array([d and d.score for d in decisions], pa.float64()),
            pa.array([d and d.note for d in decisions], pa.string()),
            pa.array([sum(len(text) for _, text in row) for row in rows], pa.int64()),
            _fixed(whole.digests, 16),
            _fixed(whole.bands, 4 * BANDS),
            pa.ListArray.from_arrays(pa.array(whole.offsets.astype(np.int32)), pa.array(whole.shingles)),
        ],
        schema=CHECKED,
    )


@dataclass(frozen=True)
class _Found:
    decisions: list[Decision | None]
    sketches: Sketches


def _by_tokens(turns: Sequence[Sequence[str]], config: RowChecks, benchmarks: Contamination) -> _Found:
    """What needs the tokens of a batch, which are made once: repetition, contamination, sketches."""
    counts = np.array([len(row) for row in turns])
    spelt = tokens([text for row in turns for text in row])
    ends = np.cumsum(counts)
    hits = benchmarks.find_tokens(spelt, counts)
    limit = config.filters.repetition
    shares = np.zeros(len(turns))
    if limit is not None and counts.any():
        shares[counts > 0] = repetition(_texts(spelt, ends[counts > 0] - 1))
    decisions: list[Decision | None] = []
    for row, share, hit in zip(turns, shares.tolist(), hits, strict=True):
        if limit is not None and share > limit:
            decisions.append(Decision("filter", "repetition: n-grams", share))
        elif limit is not None and row and run_of_one_character(row[-1]):
            decisions.append(Decision("filter", "repetition: one character"))
        elif hit is not None:
            item = f"{hit.benchmark}/{hit.item}"
            decisions.append(Decision("decontaminate", f"contaminated: {hit.benchmark}", hit.share, item))
        else:
            decisions.append(None)
    gone = np.array([d is not None for d in decisions], bool)
    offsets = spelt.offsets[np.concatenate(([0], ends))]
    if config.dedup is None:
        return _Found(decisions, sketch([""] * len(turns), 1))
    texts = ["" if d is not None else _TURN.join(row) for d, row in zip(decisions, turns, strict=True)]
    whole = Tokens(spelt.hashes, offsets, spelt.operators)
    return _Found(decisions, sketch_tokens(texts, _without(whole, gone), config.dedup.shingle))


def _texts(of: Tokens, numbers: np.ndarray) -> Tokens:
    """Some of the texts."""
    chosen = np.zeros(len(of.offsets) - 1, bool)
    chosen[numbers] = True
    return _without(of, ~chosen, closed=True)


def _without(of: Tokens, gone: np.ndarray, *, closed: bool = False) -> Tokens:
    """The tokens with those of some texts taken out: the texts stay as empty ones, or leave too if `closed`."""
    if not gone.any():
        return of
    lengths = of.counts()
    stay = np.repeat(~gone, lengths)
    lengths = lengths[~gone] if closed else np.where(gone, 0, lengths)
    return Tokens(of.hashes[stay], np.concatenate(([0], np.cumsum(lengths))), of.operators[stay])


def _fixed(values: np.ndarray, width: int) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    return pa.Array.from_buffers(pa.binary(width), len(values), [None, data])


def sketches_of(checked: pa.Table) -> Sketches:
    """The sketches in a table of `CHECKED`."""
    table = checked.combine_chunks()
    rows = table.num_rows
    columns = [
        table[name].chunk(0) if rows else pa.array([], table[name].type) for name in ("digest", "bands", "shingles")
    ]
    digest, bands, shingles = columns
    return Sketches(
        _values(digest, np.uint64, 2),
        _values(bands, np.uint32, BANDS),
        shingles.flatten().to_numpy(),
        np.concatenate(([0], np.cumsum(shingles.value_lengths().to_numpy().astype(np.int64)))),
    )


def _values(array: pa.Array, dtype: type, width: int) -> np.ndarray:
    data = np.frombuffer(array.buffers()[1], dtype)[array.offset * width :]
    return data[: len(array) * width].reshape(len(array), width)
