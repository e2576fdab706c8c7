"""Packing: many samples in one row, with explicit boundaries.

Best-fit decreasing: the longest sample first, each into the fullest row that still has room. Rows remember where each
sample begins; nothing downstream infers it.
"""

import bisect
import random
from collections.abc import Sequence
from dataclasses import dataclass

from afterbase.core.tokens import Tokenized


@dataclass(frozen=True)
class Pack:
    """One row: token ids and loss mask of its samples one after another, `lengths` of each, their indices."""

    ids: list[int]
    trained: list[bool]
    lengths: list[int]
    members: list[int]


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of the samples of each row; no row's lengths sum to more than `capacity`."""
    assert not lengths or max(lengths) <= capacity, "samples longer than a row are dropped before packing"
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (free tokens, row), sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        at = bisect.bisect_left(rooms, (lengths[index], -1))
        if at == len(rooms):
            rows.append([])
            free, row = capacity, len(rows) - 1
        else:
            free, row = rooms.pop(at)
        rows[row].append(index)
        bisect.insort(rooms, (free - lengths[index], row))
    return rows


def pack(samples: Sequence[Tokenized], capacity: int, *, seed: int) -> list[Pack]:
    """All samples in rows of at most `capacity` tokens; rows and the samples within them in a seeded order."""
    rng = random.Random(seed)
    rows = best_fit_decreasing([len(s.ids) for s in samples], capacity)
    for row in rows:
        rng.shuffle(row)
    rng.shuffle(rows)
    return [
        Pack(
            ids=[token for i in row for token in samples[i].ids],
            trained=[bears for i in row for bears in samples[i].trained],
            lengths=[len(samples[i].ids) for i in row],
            members=row,
        )
        for row in rows
    ]
