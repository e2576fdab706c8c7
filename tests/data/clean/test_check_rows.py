import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.clean.check_rows import CHECKED, RowChecks, check_rows, sketches_of
from afterbase.data.clean.decontaminate import Contamination, hash_benchmark
from afterbase.data.clean.dedup import Dedup, sketch
from afterbase.data.clean.filters import Filters

ITEM = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
BENCHMARKS = Contamination([hash_benchmark("toy", [ITEM])], 0.5)
NONE = Contamination([], 0.5)


def asked(*answers: str) -> list[list[tuple[str, str]]]:
    return [[("user", "Q"), ("assistant", answer)] for answer in answers]


def checked(rows, config: RowChecks = RowChecks(), *, out=None, benchmarks=BENCHMARKS):  # noqa: B008  (frozen)
    gone = np.zeros(len(rows), bool) if out is None else np.array(out)
    return check_rows(rows, gone, config, benchmarks)


def test_each_decision_has_its_stage_rule_score_and_note():
    rows = asked("fine", "", ITEM, "wait, let me check. " * 40, "!" * 300, "jane@gmail.com")
    table = checked(rows)
    assert table.schema.equals(CHECKED)
    columns = [table[name].to_pylist() for name in ("stage", "rule", "note")]
    assert list(zip(*columns, strict=True)) == [
        (None, None, None),
        ("filter", "format: empty turn", None),
        ("decontaminate", "contaminated: toy", "toy/0"),
        ("filter", "repetition: n-grams", None),
        ("filter", "repetition: one character", None),
        ("filter", "personal: email", None),
    ]
    assert table["score"][2].as_py() == 1
    assert table["score"][3].as_py() == pytest.approx(1 - 4 / 153, abs=0.03)
    assert table["characters"].to_pylist() == [1 + len(row[1][1]) for row in rows]


def test_rows_that_are_out_are_passed_over():
    table = checked(asked("", "fine"), out=[True, False])
    assert table["rule"].to_pylist() == [None, None]


def test_rules_can_be_left_out():
    rows = asked("wait, let me check. " * 40, "!" * 300, "jane@gmail.com")
    config = RowChecks(filters=Filters(repetition=None, personal=()))
    assert checked(rows, config)["rule"].to_pylist() == [None] * 3


TEXTS = st.lists(st.text(alphabet="ab 中.\n", min_size=1, max_size=30), min_size=1, max_size=300)


@given(TEXTS)
def test_sketches_are_those_of_the_whole_rows(texts):
    """Whatever was dropped around a row, and however rows fall into batches."""
    texts = [text.strip() or "a" for text in texts]
    found = sketches_of(checked(asked(*texts), RowChecks(dedup=Dedup(shingle=2)), benchmarks=NONE))
    plain = sketch([f"Q \x01 {text}" for text in texts], 2)
    assert (found.digests == plain.digests).all()
    assert (found.bands == plain.bands).all()
    assert (found.shingles == plain.shingles).all()
    assert (found.offsets == plain.offsets).all()


def test_a_dropped_row_beside_them_changes_no_other_row():
    rows = asked("first of all", "", ITEM, "wait, let me check. " * 40, "last of all")
    found, alone = sketches_of(checked(rows)), sketches_of(checked([rows[0], rows[-1]]))
    stays = np.array([True, False, False, False, True])
    assert (found.only(stays).shingles == alone.shingles).all()
    assert (found.digests[stays] == alone.digests).all()
    assert (found.bands[stays] == alone.bands).all()


def test_a_slice_of_a_table_holds_its_own_sketches():
    table = checked(asked("a b c", "d e f g", "h i", "j"), benchmarks=NONE)
    whole, part = sketches_of(table), sketches_of(table.slice(1, 2))
    stays = np.array([False, True, True, False])
    assert (part.digests == whole.digests[stays]).all()
    assert (part.bands == whole.bands[stays]).all()
    assert (part.shingles == whole.only(stays).shingles).all()
    assert (part.offsets == whole.only(stays).offsets).all()


def test_no_row_is_no_row():
    assert checked([]).num_rows == 0
    assert len(sketches_of(checked([]))) == 0
