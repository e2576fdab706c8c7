"""Pairs as reward models see them: answers alone, and none without one."""

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.store import Store
from afterbase.reward.shown_pairs import answered_pairs

ROWS = [
    {"prompt": "a", "chosen": "<think>\nwhy\n</think>\n\nyes", "rejected": "no", "source": "s"},
    {"prompt": "b", "chosen": "yes", "rejected": "<think>\nfor ever", "source": "s"},
    {"prompt": "c", "chosen": "yes", "rejected": "no", "source": "t"},
]


def test_thoughts_are_left_out_and_so_are_pairs_without_an_answer(tmp_path):
    made = Store(tmp_path).produce(
        "pairs", "toy", 1, what={}, inputs={},
        make=lambda work: pq.write_table(pa.Table.from_pylist(ROWS), work.payload / "pairs.parquet"),
    )  # fmt: skip
    assert answered_pairs(made) == ([{**ROWS[0], "chosen": "\n\nyes"}, ROWS[2]], 1)
