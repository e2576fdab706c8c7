"""Rows that hold a benchmark's texts, found by hashed n-grams, so that a benchmark can be shipped without its text.

Words are compared: normalised, without punctuation and operators; Chinese, Japanese and Korean by character. A row is
contaminated by an item if one of its turns says

- at least `overlap` of the item's distinct n-grams (8 words and a half: Tulu 3, arXiv 2411.15124, section 3.2), where
  the item has 2 n words or more;
- all of them, where it has fewer: "how many primes are below 50" is not "how many primes are below 60";
- exactly the item, operators included, where it has less than n words.

Does not cover: paraphrases and translations, an item below n words inside a longer turn.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from afterbase.core.config import Config
from afterbase.core.errors import UserError
from afterbase.core.row_files import json_rows
from afterbase.core.sample import content_id
from afterbase.data.clean.shingles import HASHES, Hashes, Offsets, Tokens, ngrams, tokens

_FORMAT = "afterbase benchmark hashes"
_SCHEMA = pa.schema([("gram", pa.uint64()), ("item", pa.int32())])
_WHOLE = 2**62  # more tokens than any text has
_BATCH = 128  # texts at a time


class Decontamination(Config):
    """When a row counts as contaminated."""

    overlap: float = Field(default=0.5, gt=0, le=1)
    """Share of an item's distinct n-grams; shorter items have to be there whole."""


@dataclass(frozen=True)
class Benchmark:
    """The hashed items of a named benchmark: `grams[k]` is of item `owners[k]`, each pair once, ascending."""

    name: str
    n: int
    grams: Hashes
    owners: npt.NDArray[np.int32]
    short: npt.NDArray[np.bool_]
    """Items that have to be there whole."""

    @property
    def digest(self) -> str:
        """SHA-256 of what it holds, in hexadecimal."""
        return content_id(self.name, self.n, *(a.tobytes().hex() for a in (self.grams, self.owners, self.short)))


@dataclass(frozen=True)
class Hit:
    """Which item a row holds, and what share of the item's n-grams."""

    benchmark: str
    item: int
    share: float


def hash_benchmark(name: str, texts: Sequence[str], *, n: int = 8) -> Benchmark:
    """A benchmark of the texts, one an item. UserError where a text has no words."""
    grams, offsets, words = _grams(tokens(texts), n)
    counts = np.diff(offsets)
    if not len(texts) or not counts.all():
        where = f"none in item {int(np.argmin(counts))}" if len(texts) else "no item"
        raise UserError("every item of a benchmark has words", got=f"{where} of `{name}`", remedy="name another field")
    pairs = np.unique(np.stack((grams, np.repeat(np.arange(len(texts), dtype=np.uint64), counts))), axis=1)
    return Benchmark(name, n, pairs[0], pairs[1].astype(np.int32), words < 2 * n)


def benchmark_texts(path: Path, fields: Sequence[str]) -> list[str]:
    """The items in a benchmark's JSONL file (plain or gzip). UserError where a line has no such text."""
    if not path.is_file():
        raise UserError("a benchmark's file exists", got=f"no file {path}", remedy="name another")
    texts = []
    for place, row, _ in json_rows(path):
        for name in fields:
            if not isinstance(row.get(name), str) or not row[name].strip():
                raise UserError(
                    "each item of a benchmark is a text",
                    got=f"{place} of {path} has no text `{name}`; it has {', '.join(map(str, row))}",
                    remedy="name another --field, or take the row out",
                )
            texts.append(row[name])
    return texts


def save_benchmark(path: Path, benchmark: Benchmark) -> None:
    """Write the hashes, as Parquet."""
    about = {"format": _FORMAT, "hashes": HASHES, "name": benchmark.name, "n": benchmark.n}
    about["short"] = np.flatnonzero(benchmark.short).tolist()
    about["items"] = len(benchmark.short)
    table = pa.table(
        [benchmark.grams, benchmark.owners], schema=_SCHEMA.with_metadata({"afterbase": json.dumps(about)})
    )
    part = path.with_name(path.name + ".part")
    pq.write_table(table, part)
    part.replace(path)


def load_benchmark(path: Path) -> Benchmark:
    """The hashes in a file. UserError where it is missing, or not such a file, or of another version."""
    remedy = "make it with `afterbase data hash`"
    if not path.is_file():
        raise UserError("a benchmark to keep out is a file of its hashes", got=f"no file {path}", remedy=remedy)
    try:
        table = pq.read_table(path)
        about: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"afterbase", b"{}"))
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise UserError("a file of benchmark hashes can be read", got=f"{path}: {error}", remedy=remedy) from error
    if about.get("format") != _FORMAT:
        raise UserError("a benchmark to keep out is a file of its hashes", got=f"{path} is another", remedy=remedy)
    if about["hashes"] != HASHES:
        raise UserError(
            f"hashes are compared with hashes of version {HASHES}",
            got=f"version {about['hashes']} in {path}",
            remedy=remedy,
        )
    short = np.zeros(about["items"], bool)
    short[about["short"]] = True
    return Benchmark(about["name"], about["n"], table["gram"].to_numpy(), table["item"].to_numpy(), short)


class Contamination:
    """Finds the items of several benchmarks in rows."""

    def __init__(self, benchmarks: Sequence[Benchmark], overlap: float) -> None:
        names = [b.name for b in benchmarks]
        if len(set(names)) < len(names):
            raise UserError("a benchmark is named once", got=", ".join(names), remedy="leave one of them out")
        self._overlap = overlap
        self._indices = [
            _Index([b for b in benchmarks if b.n == n], overlap) for n in sorted({b.n for b in benchmarks})
        ]

    def find(self, rows: Sequence[Sequence[str]]) -> list[Hit | None]:
        """Of each row, given by the texts of its turns, the item that it holds most of."""
        out: list[Hit | None] = []
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            spelt = tokens([text for row in batch for text in row])
            out += self.find_tokens(spelt, np.array([len(row) for row in batch]))
        return out

    def find_tokens(self, turns: Tokens, counts: npt.NDArray[np.int64]) -> list[Hit | None]:
        """The same for turns that are tokens already; `counts` says how many of them each row has."""
        best: list[Hit | None] = [None] * len(counts)
        for row, hit in self._all(turns, counts):
            known = best[row]
            if known is None or hit.share > known.share:
                best[row] = hit
        return best

    def items(self, rows: Sequence[Sequence[str]]) -> set[tuple[str, int]]:
        """(benchmark, item) of every item that some row holds."""
        found: set[tuple[str, int]] = set()
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            spelt = tokens([text for row in batch for text in row])
            found |= {(hit.benchmark, hit.item) for _, hit in self._all(spelt, np.array([len(row) for row in batch]))}
        return found

    def _all(self, turns: Tokens, counts: npt.NDArray[np.int64]) -> list[tuple[int, Hit]]:
        """(row, hit) of every item that a row holds."""
        return [found for index in self._indices for found in index.find(turns, counts)]


class _Index:
    """The n-grams of benchmarks with one n, numbered through all their items."""

    def __init__(self, benchmarks: Sequence[Benchmark], overlap: float) -> None:
        self._n = benchmarks[0].n
        firsts = np.cumsum([0, *(len(b.short) for b in benchmarks)])
        self._names = [(b.name, int(first)) for b, first in zip(benchmarks, firsts, strict=False)]
        grams = np.concatenate([b.grams for b in benchmarks])
        owners = np.concatenate([b.owners + first for b, first in zip(benchmarks, firsts, strict=False)])
        order = np.argsort(grams, kind="stable")
        self._owners = owners[order]
        self._grams, self._first, self._count = np.unique(grams[order], return_index=True, return_counts=True)
        self._sizes = np.bincount(owners, minlength=int(firsts[-1]))
        self._needed = np.where(np.concatenate([b.short for b in benchmarks]), 1.0, overlap)
        # Nearly every gram of a clean row is told apart by one look into this array.
        bits = max(16, (8 * len(self._grams)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._maybe = np.zeros(1 << bits, bool)
        self._maybe[self._grams >> self._shift] = True

    def find(self, turns: Tokens, counts_of_rows: npt.NDArray[np.int64]) -> list[tuple[int, Hit]]:
        """(row, hit) for each item that is in a turn of a row."""
        grams, offsets, _ = _grams(turns, self._n)
        places = np.flatnonzero(self._maybe[grams >> self._shift])
        where = np.searchsorted(self._grams, grams[places])
        known = self._grams[np.minimum(where, len(self._grams) - 1)] == grams[places]
        places, where = places[known], where[known]
        if not len(places):
            return []
        turns_of = np.searchsorted(offsets, places, side="right") - 1
        counts = self._count[where]
        entries = np.repeat(self._first[where], counts) + _ranges(counts)
        seen = np.unique(
            np.stack((np.repeat(turns_of, counts), self._owners[entries], np.repeat(where, counts))), axis=1
        )
        pairs, found = np.unique(seen[:2], axis=1, return_counts=True)
        shares = found / self._sizes[pairs[1]]
        held = shares >= self._needed[pairs[1]]
        rows = np.repeat(np.arange(len(counts_of_rows)), counts_of_rows)[pairs[0][held]]
        return [
            (row, self._hit(item, share))
            for row, item, share in zip(rows.tolist(), pairs[1][held].tolist(), shares[held].tolist(), strict=True)
        ]

    def _hit(self, item: int, share: float) -> Hit:
        name, first = next((name, first) for name, first in reversed(self._names) if first <= item)
        return Hit(name, item - first, share)


def _grams(spelt: Tokens, n: int) -> tuple[Hashes, Offsets, Offsets]:
    """Hashed n-grams of words, their offsets, and each text's words; below n words it is one gram, with operators."""
    words = spelt.without_operators()
    grams, offsets = ngrams(words, n)
    counts = words.counts()
    short = (counts > 0) & (counts < n)
    if short.any():
        whole, places = ngrams(spelt, _WHOLE)
        grams[offsets[:-1][short]] = whole[places[:-1][short]]
    return grams, offsets, counts


def _ranges(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0 .. counts[0] - 1, 0 .. counts[1] - 1, ..."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
