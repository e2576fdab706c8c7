import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.tokens import Tokenized
from afterbase.data.pack import Pack, best_fit_decreasing, pack

CAPACITY = 20
LENGTHS = st.lists(st.integers(min_value=1, max_value=CAPACITY), max_size=30)


def toy_samples(lengths: list[int]) -> list[Tokenized]:
    """Samples in which no token id comes twice, so that a row shows where each of its tokens is from."""
    ids = itertools.count()
    return [Tokenized([next(ids) for _ in range(n)], [i % 3 == 0 for i in range(n)]) for n in lengths]


def naive_best_fit(lengths: list[int], capacity: int) -> list[list[int]]:
    """The definition, word by word: longest first, each into the row it leaves least room in, else into a new one."""
    rows: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        left = [(capacity - sum(lengths[i] for i in row) - lengths[index], at) for at, row in enumerate(rows)]
        fitting = [pair for pair in left if pair[0] >= 0]
        if fitting:
            rows[min(fitting)[1]].append(index)
        else:
            rows.append([index])
    return rows


@given(LENGTHS)
@settings(deadline=None)
def test_rows_are_those_of_the_naive_algorithm(lengths: list[int]):
    assert best_fit_decreasing(lengths, CAPACITY) == naive_best_fit(lengths, CAPACITY)


def test_a_sample_goes_into_the_fullest_row_that_has_room():
    assert best_fit_decreasing([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


@given(LENGTHS, st.integers(min_value=0, max_value=5))
@settings(deadline=None)
def test_every_sample_is_packed_once_and_no_row_is_over_capacity(lengths: list[int], seed: int):
    rows = pack(toy_samples(lengths), CAPACITY, seed=seed)
    assert sorted(member for row in rows for member in row.members) == list(range(len(lengths)))
    assert all(len(row.ids) <= CAPACITY for row in rows)


@given(LENGTHS, st.integers(min_value=0, max_value=5))
@settings(deadline=None)
def test_boundaries_cut_a_row_into_its_samples(lengths: list[int], seed: int):
    samples = toy_samples(lengths)
    for row in pack(samples, CAPACITY, seed=seed):
        ends = list(itertools.accumulate(row.lengths))
        assert ends[-1] == len(row.ids) == len(row.trained)
        for member, start, end in zip(row.members, [0, *ends], ends, strict=False):
            assert Tokenized(row.ids[start:end], row.trained[start:end]) == samples[member]


def test_the_order_is_that_of_the_seed():
    samples = toy_samples([random.Random(0).randint(1, CAPACITY) for _ in range(40)])

    def contents(rows: list[Pack]) -> set[frozenset[int]]:
        return {frozenset(row.members) for row in rows}

    first, again, other = (pack(samples, CAPACITY, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert contents(first) == contents(other)  # another order, not another packing


@pytest.mark.parametrize("seed", range(3))
def test_long_tailed_lengths_fill_rows_to_99_percent(seed: int):
    rng = random.Random(seed)
    lengths = [min(2048, max(1, round(rng.lognormvariate(4.5, 1.0)))) for _ in range(3000)]
    rows = best_fit_decreasing(lengths, 2048)
    assert sum(lengths) / (2048 * len(rows)) >= 0.99


def test_no_samples_make_no_rows():
    assert pack([], CAPACITY, seed=0) == []


def test_a_sample_longer_than_a_row_is_our_own_bug():
    with pytest.raises(AssertionError, match="dropped before packing"):
        pack(toy_samples([CAPACITY + 1]), CAPACITY, seed=0)
