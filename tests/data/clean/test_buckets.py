from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.clean.buckets import FULL, Buckets, Column

BATCHES = st.lists(st.lists(st.sampled_from([*range(8), 2**32 - 1, 2**31]), max_size=60), max_size=8)


def keys(values: list[int]):
    return np.array(values, np.uint32)


@given(BATCHES)
def test_rows_are_found_as_in_a_dictionary_of_lists(batches):
    table, plain, row, refused = Buckets(), defaultdict(list), 0, 0
    for batch in batches:
        queries, rows = table.find(keys(batch))
        wanted = [(i, r) for i, key in enumerate(batch) for r in plain[key]]
        assert list(zip(queries.tolist(), rows.tolist(), strict=True)) == wanted
        table.add(keys(batch))
        for key in batch:
            if len(plain[key]) < FULL:
                plain[key].append(row)
            else:
                refused += 1
            row += 1
    assert table.refused == refused


def test_a_table_that_has_grown_finds_every_row():
    table = Buckets()
    drawn = np.random.default_rng(0).integers(0, 2**32, 30_000, dtype=np.uint32)
    for part in np.split(drawn, 10):
        table.add(part)
    queries, rows = table.find(drawn)
    pairs = set(zip(queries.tolist(), rows.tolist(), strict=True))
    assert pairs >= {(row, row) for row in range(30_000)}
    assert (drawn[queries] == drawn[rows]).all()
    assert table.bytes < 16 * 30_000


def test_a_column_holds_what_was_appended():
    column = Column(np.int64, 2)
    for start in range(0, 4000, 500):
        column.append(np.arange(start, start + 1000).reshape(500, 2) % 97)
    expected = np.concatenate([np.arange(s, s + 1000).reshape(500, 2) % 97 for s in range(0, 4000, 500)])
    assert (column.values == expected).all()
    assert column.bytes == expected.nbytes
