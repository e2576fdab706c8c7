"""Exact and near duplicates in one pass: of texts that say the same, the first in order is kept.

Exact: equal after NFC and with white space collapsed (128 bits of SHA-256). Near: the Jaccard similarity of the sets
of token shingles reaches a threshold. Pairs to look at come from MinHash (Broder 1997; rensa) in 16 bands of 6, which
find 86 % of the pairs at similarity 0.7, 99.2 % at 0.8 and 99.99 % at 0.9; the true similarity of each then decides.

`sketch` is pure and runs anywhere. `Deduplicator` takes sketches in order and remembers the rows that it kept: under
400 bytes a row in memory, and their shingles in a temporary file. How rows come in batches changes nothing.

Does not cover: pairs of which every shared band is crowded, one of more than `buckets.FULL` kept rows (counted).
"""

import hashlib
import os
import tempfile
import unicodedata
import weakref
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]

from afterbase.core.config import Config
from afterbase.data.clean.buckets import FULL, Buckets, Column
from afterbase.data.clean.shingles import Grams, Offsets, Tokens, hash_integers, jaccard, ngrams, sets, tokens

BANDS, ROWS_PER_BAND = 16, 6
_SEED = 0
_BATCH = 128  # texts; their arrays stay in the cache


class Dedup(Config):
    """What counts as a near duplicate."""

    similarity: float = Field(default=0.8, ge=0.7, le=1)
    """Share of distinct shingles that two texts have in common, of all that either has."""
    shingle: int = Field(default=5, ge=1)
    """Tokens of a shingle."""


@dataclass(frozen=True)
class Sketches:
    """What duplicates are told by, a row a text."""

    digests: npt.NDArray[np.uint64]
    """(n, 2): of the whole text."""
    bands: npt.NDArray[np.uint32]
    """(n, BANDS): a key for each band of the MinHash signature."""
    shingles: Grams
    """Distinct shingles, ascending within each text, all texts one after another."""
    offsets: Offsets
    """Text i has shingles[offsets[i] : offsets[i + 1]]."""

    def __len__(self) -> int:
        return len(self.digests)

    def only(self, rows: npt.NDArray[np.bool_]) -> "Sketches":
        """The sketches of some rows."""
        counts = np.diff(self.offsets)
        offsets = np.concatenate(([0], np.cumsum(counts[rows])))
        return Sketches(self.digests[rows], self.bands[rows], self.shingles[np.repeat(rows, counts)], offsets)


@dataclass(frozen=True)
class Duplicates:
    """Of each row: the number of the earlier row that it repeats (-1 if none), and how alike they are (1: exactly)."""

    of: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    exact: npt.NDArray[np.bool_]


def sketch(texts: Sequence[str], shingle: int) -> Sketches:
    """The sketches of texts; each depends on its text alone."""
    batches = [texts[i : i + _BATCH] for i in range(0, len(texts), _BATCH)] or [texts]
    return joined([sketch_tokens(batch, tokens(batch), shingle) for batch in batches])


def joined(parts: Sequence[Sketches]) -> Sketches:
    """Several sketches one after another."""
    counts = np.concatenate([np.diff(p.offsets) for p in parts])
    return Sketches(
        np.concatenate([p.digests for p in parts]),
        np.concatenate([p.bands for p in parts]),
        np.concatenate([p.shingles for p in parts]),
        np.concatenate(([0], np.cumsum(counts))),
    )


def sketch_tokens(texts: Sequence[str], spelt: Tokens, shingle: int) -> Sketches:
    """The sketches of texts that are tokens already."""
    whole = b"".join(_digest(text) for text in texts)
    digests = np.frombuffer(whole, "<u8").reshape(len(texts), 2)
    grams, offsets = ngrams(spelt, shingle)
    width = BANDS * ROWS_PER_BAND
    rows = RMinHash.digest_matrix_from_flat_token_hashes(grams, offsets.astype(np.uint64), width, _SEED).to_rows()
    signature = np.array(rows, np.uint64).reshape(len(texts), BANDS, ROWS_PER_BAND)
    keys = np.zeros((len(texts), BANDS), np.uint64)
    for row in range(ROWS_PER_BAND):
        keys = hash_integers(keys + signature[:, :, row])
    # A text without a token is like no other: it gets keys of its own.
    alone = np.diff(offsets) == 0
    keys[alone] = hash_integers(digests[alone, :1] + np.arange(BANDS, dtype=np.uint64))
    return Sketches(digests, (keys >> np.uint64(32)).astype(np.uint32), *sets(grams, offsets))


def _digest(text: str) -> bytes:
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).digest()[:16]


class Deduplicator:
    """Takes rows in order, in batches of any size, and says which repeat an earlier one that was kept."""

    def __init__(self, similarity: float, *, scratch: Path | None = None) -> None:
        self._similarity = similarity
        self._rows = 0  # rows seen, kept or not
        self._tables = [Buckets() for _ in range(BANDS + 1)]  # the first: exact
        self._numbers = Column(np.uint32)  # of a kept row: which row it was
        self._digests = Column(np.uint64, 2)
        self._ends = Column(np.int64)  # in shingles of the file
        self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115  (it lives as long as this object)
        weakref.finalize(self, self._file.close)

    @property
    def bytes(self) -> int:
        """Memory of the state."""
        columns = (*self._tables, self._numbers, self._digests, self._ends)
        return sum(part.bytes for part in columns)

    @property
    def crowded(self) -> int:
        """How many keys of kept rows are not looked at, because too many rows have them."""
        return sum(table.refused for table in self._tables)

    def decide(self, sketches: Sketches, rows: npt.NDArray[np.bool_] | None = None) -> Duplicates:
        """What the next rows repeat; those outside `rows` are passed over and only counted."""
        chosen = np.ones(len(sketches), bool) if rows is None else rows
        numbers = self._rows + np.flatnonzero(chosen)
        found = self._decide(sketches if chosen.all() else sketches.only(chosen), numbers)
        self._rows += len(sketches)
        of, similarity, exact = np.full(len(chosen), -1), np.zeros(len(chosen)), np.zeros(len(chosen), bool)
        of[chosen], similarity[chosen], exact[chosen] = found.of, found.similarity, found.exact
        return Duplicates(of, similarity, exact)

    def _decide(self, new: Sketches, numbers: npt.NDArray[np.int64]) -> Duplicates:
        keys = np.column_stack((new.digests[:, 0].astype(np.uint32), new.bands))
        earlier = [table.find(column) for table, column in zip(self._tables, keys.T, strict=True)]
        met = np.column_stack([np.bincount(queries, minlength=len(new)) for queries, _ in earlier])
        suspects = met.any(axis=1) | np.any([_repeated(column) for column in keys.T], axis=0)
        pairs = np.unique(np.concatenate([np.column_stack(pair) for pair in earlier]), axis=0)
        bounds = np.searchsorted(pairs[:, 0], np.arange(len(new) + 1))

        of, similarity, exact = np.full(len(new), -1), np.zeros(len(new)), np.zeros(len(new), bool)
        here: defaultdict[tuple[int, int], list[int]] = defaultdict(
            list
        )  # kept suspects of this batch, by band and key
        for row in np.flatnonzero(suspects).tolist():
            own = list(enumerate(keys[row].tolist()))
            old = pairs[bounds[row] : bounds[row + 1], 1].tolist()
            young = sorted({other for key in own for other in here.get(key, ())})
            for other, near, same in self._alike(new, row, old, young):
                of[row] = self._numbers.values[other] if other >= 0 else numbers[~other]
                similarity[row], exact[row] = near, same
                break
            else:
                for band, key in own:
                    if met[row, band] + len(here[band, key]) < FULL:
                        here[band, key].append(row)
        self._keep(new, of < 0, keys, numbers)
        return Duplicates(of, similarity, exact)

    def _alike(self, new: Sketches, row: int, old: list[int], young: list[int]):
        """(other, similarity, exact) of each candidate that `row` repeats, the best first: exact ones, then in order.

        `other` is the number of a kept row, or the complement of a row of this batch.
        """
        digest = new.digests[row]
        if old:
            same = np.flatnonzero((self._digests.values[old] == digest).all(axis=1))
            yield from ((old[i], 1.0, True) for i in same.tolist())
        yield from ((~other, 1.0, True) for other in young if (new.digests[other] == digest).all())
        mine = new.shingles[new.offsets[row] : new.offsets[row + 1]]
        for other in [*old, *(~other for other in young)]:
            count, first = self._place(new, other)
            if min(len(mine), count) < self._similarity * max(len(mine), count) or not count:
                continue  # too different in size to be alike
            theirs = new.shingles[first : first + count] if other < 0 else self._read(first, count)
            near = jaccard(mine, theirs)
            if near >= self._similarity:
                yield other, near, False

    def _place(self, new: Sketches, other: int) -> tuple[int, int]:
        if other < 0:
            return int(new.offsets[~other + 1] - new.offsets[~other]), int(new.offsets[~other])
        ends = self._ends.values
        first = int(ends[other - 1]) if other else 0
        return int(ends[other]) - first, first

    def _read(self, first: int, count: int) -> Grams:
        return np.frombuffer(os.pread(self._file.fileno(), 4 * count, 4 * first), np.uint32)

    def _keep(self, new: Sketches, kept: npt.NDArray[np.bool_], keys: Grams, numbers: npt.NDArray[np.int64]) -> None:
        chosen = new.only(kept)
        end = int(self._ends.values[-1]) if len(self._ends) else 0
        self._file.write(chosen.shingles.tobytes())
        self._file.flush()
        self._ends.append(end + chosen.offsets[1:])
        self._numbers.append(numbers[kept].astype(np.uint32))
        self._digests.append(chosen.digests)
        for table, column in zip(self._tables, keys[kept].T, strict=True):
            table.add(column)


def _repeated(keys: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Whether a key stands in the array more than once."""
    order = np.argsort(keys, kind="stable")
    equal = keys[order][1:] == keys[order][:-1]
    repeated = np.zeros(len(keys), bool)
    repeated[order[1:][equal]] = True
    repeated[order[:-1][equal]] = True
    return repeated
