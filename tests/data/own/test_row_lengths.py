"""The lengths that settings are chosen by, against the texts they come from."""

from afterbase.core.sample import write_samples
from afterbase.core.store import Store
from afterbase.data.own.row_lengths import row_lengths
from toys import toy_samples


def test_rows_are_counted_and_longer_ones_take_more(tmp_path):
    samples = toy_samples(20)
    dropped = [sample.drop("filter", "short") for sample in samples[:5]]

    def make(work):
        write_samples(work.payload / "samples.parquet", [*dropped, *samples[5:]])

    made = Store(tmp_path).produce("rows", "test", 1, what={}, inputs={}, make=make)
    lengths = row_lengths(made)
    assert lengths.rows == 15
    shortest = min(sum(len(turn["content"]) for turn in sample.messages) for sample in samples[5:])
    assert lengths.rows * shortest / 4 < lengths.tokens < lengths.rows * lengths.longest
