"""A hash table from 32-bit keys to rows, for many keys in one call: 10 to 15 bytes a row.

Linear probing in an array of row numbers; the keys stand in one array by row. Several rows may share a key. Once
`FULL` rows do, later ones are not added under it: a key so common says nothing, and its chain would cost every row
that has it.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

FULL = 32
_LOAD = 0.75
_FIRST_SLOTS = 1 << 10

Keys = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]


class Column:
    """An array that grows at its end; what it has in reserve is untouched and takes no memory yet."""

    def __init__(self, dtype: npt.DTypeLike, width: int | None = None) -> None:
        self._shape = () if width is None else (width,)
        self._array: npt.NDArray[Any] = np.empty((_FIRST_SLOTS, *self._shape), dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def values(self) -> npt.NDArray[Any]:
        """What was appended so far."""
        return self._array[: self._length]

    @property
    def bytes(self) -> int:
        """Memory in use."""
        return self.values.nbytes

    def append(self, values: npt.NDArray[Any]) -> None:
        """Values at the end."""
        length = self._length + len(values)
        if length > len(self._array):
            larger = np.empty((2 * length, *self._shape), self._array.dtype)
            larger[: self._length] = self.values
            self._array = larger
        self._array[self._length : length] = values
        self._length = length


class Buckets:
    """Rows 0, 1, 2, ... in the order in which they are added, found again by key."""

    def __init__(self) -> None:
        self._column = Column(np.uint32)
        self._slots = np.zeros(_FIRST_SLOTS, np.uint32)  # row + 1, or 0
        self.refused = 0
        """Rows that were not added, because `FULL` others have their key."""

    @property
    def bytes(self) -> int:
        """Memory in use."""
        return self._column.bytes + self._slots.nbytes

    def find(self, keys: Keys) -> tuple[Rows, Rows]:
        """Pairs (i, row) for every row that was added under keys[i], by i and then by row."""
        active, slots, by_row = np.arange(len(keys)), self._first_slot(keys), self._column.values
        found: list[tuple[Rows, Rows]] = []
        while len(active):
            taken = self._slots[slots]
            live = taken != 0
            active, slots, taken = active[live], slots[live], taken[live]
            match = by_row[taken - 1] == keys[active]
            found.append((active[match], taken[match].astype(np.int64) - 1))
            slots = self._next(slots)
        queries = np.concatenate([q for q, _ in found] or [np.empty(0, np.int64)])
        rows = np.concatenate([r for _, r in found] or [np.empty(0, np.int64)])
        order = np.lexsort((rows, queries))
        return queries[order], rows[order]

    def add(self, keys: Keys) -> None:
        """The next rows, one a key."""
        first = len(self._column)
        self._column.append(keys)
        rows, size = len(self._column), len(self._slots)
        while rows > _LOAD * size:
            size *= 2
        if size > len(self._slots):
            kept = np.sort(self._slots[self._slots != 0])
            self._slots = np.zeros(size, np.uint32)
            self._insert(kept)
        self._insert(np.arange(first + 1, rows + 1, dtype=np.uint32))

    def _insert(self, entries: npt.NDArray[np.uint32]) -> None:
        """Each entry (row + 1) into the first free slot from its key's home; of equal keys the earlier row first."""
        by_row = self._column.values
        keys = by_row[entries - 1]
        slots, met = self._first_slot(keys), np.zeros(len(entries), np.int64)
        while len(entries):
            free = self._slots[slots] == 0
            # Of entries that want one slot the last assignment stays, so that backwards the first entry wins.
            self._slots[slots[free][::-1]] = entries[free][::-1]
            taken = self._slots[slots]
            lost = taken != entries
            met += lost & (by_row[taken - 1] == keys)
            left = lost & (met < FULL)
            self.refused += int(np.count_nonzero(lost & ~left))
            entries, keys, met = entries[left], keys[left], met[left]
            slots = self._next(slots[left])

    def _first_slot(self, keys: Keys) -> Rows:
        spread = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (spread >> np.uint64(64 - len(self._slots).bit_length() + 1)).astype(np.int64)

    def _next(self, slots: Rows) -> Rows:
        return (slots + 1) & (len(self._slots) - 1)


def text_hash(text: str) -> int:
    """64 bits that stand for a text in a column."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
