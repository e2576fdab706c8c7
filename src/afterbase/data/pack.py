"""Packing: many samples in one row, with explicit boundaries.

Best-fit decreasing: the longest sample first, each into the fullest row that still has space. Rows remember where each
sample begins; nothing downstream infers it.
"""

import heapq
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
    """Indices of the samples of each row; no row's lengths (all at least 1) sum to more than `capacity`.

    The tightest space is found in a number whose bit r is set where a row has r tokens free: a few words of memory,
    however many rows there are.

    >>> best_fit_decreasing([5, 4, 3, 2], 7)
    [[0, 3], [1, 2]]
    """
    assert not lengths or 0 < min(lengths) <= max(lengths) <= capacity, "longer samples are dropped before packing"
    rows: list[list[int]] = []
    with_space: list[list[int]] = [[] for _ in range(capacity + 1)]  # by free tokens, a heap of rows
    free = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        fitting = free >> lengths[index]
        if fitting:
            space = lengths[index] + (fitting & -fitting).bit_length() - 1
            row = heapq.heappop(with_space[space])
            if not with_space[space]:
                free ^= 1 << space
        else:
            space, row = capacity, len(rows)
            rows.append([])
        rows[row].append(index)
        left = space - lengths[index]
        heapq.heappush(with_space[left], row)
        free |= 1 << left
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
