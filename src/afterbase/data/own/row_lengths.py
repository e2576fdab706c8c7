"""How many rows a set has, and how long they are: what settings are chosen by before training."""

from collections.abc import Iterator
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


def row_lengths(made: Artifact) -> RowLengths:
    """Of samples that were not dropped, of preference pairs with both answers, of judged answers, or of problems."""
    each = list(_characters(made))
    return RowLengths(len(each), round(sum(each) / _CHARACTERS), round(max(each, default=0) / _FEWEST))


def expected_tokens(made: Artifact) -> int:
    """About how many tokens a plan may count on; 0 of a set that is not made yet."""
    return 0 if made.planned else row_lengths(made).tokens


def _characters(made: Artifact) -> Iterator[int]:
    path = made.payload / "samples.parquet"
    if path.is_file():
        table = pq.read_table(path, columns=["messages", "dropped"])
        for chunk in table["messages"].filter(table["dropped"].is_null()).chunks:
            for turns in chunk.to_pylist():
                yield sum(len(turn["content"]) + _TURN for turn in turns)
        return
    for name, columns in (
        ("pairs", ["prompt", "chosen", "prompt", "rejected"]),
        ("answers", ["prompt", "response"]),
        ("train", ["prompt"]),
        ("test", ["prompt"]),
    ):
        path = made.payload / f"{name}.parquet"
        for row in pq.read_table(path, columns=sorted(set(columns))).to_pylist() if path.is_file() else ():
            yield sum(len(row[column]) + _TURN for column in columns)
