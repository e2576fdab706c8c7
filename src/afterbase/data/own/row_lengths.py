"""How many rows a set of samples has, and how long they are: what settings are chosen by before training."""

from typing import NamedTuple

import pyarrow.parquet as pq

from afterbase.core.store import Artifact

_CHARACTERS, _FEWEST = 3.5, 2.0  # of a token: about so many on average, and no fewer in the longest row
_TURN = 20  # characters' worth of what a template writes around a turn


class RowLengths(NamedTuple):
    """Rows, and what their texts will take in tokens: about so many in all, and at most in the longest row."""

    rows: int
    tokens: int
    longest: int


def row_lengths(samples: Artifact) -> RowLengths:
    """Of the samples that were not dropped."""
    table = pq.read_table(samples.payload / "samples.parquet", columns=["messages", "dropped"])
    kept = table["messages"].filter(table["dropped"].is_null())
    each = [sum(len(turn["content"]) + _TURN for turn in turns) for chunk in kept.chunks for turns in chunk.to_pylist()]
    return RowLengths(len(each), round(sum(each) / _CHARACTERS), round(max(each, default=0) / _FEWEST))
