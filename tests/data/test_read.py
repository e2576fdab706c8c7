"""Rows of others as samples: what they lack is filled in, what is none is named, and files are read in pieces."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.data.read import ROWS, read_tables


def as_read(path) -> pa.Table:
    return pa.concat_tables(read_tables(path))


def jsonl(folder, *lines: str | bytes):
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


GOOD = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})


def test_rows_of_others_get_what_they_lack(tmp_path):
    row = {**json.loads(GOOD), "id": 7, "source": "toy", "license": "CC0", "domain": "maths"}
    path = jsonl(tmp_path, GOOD, "", json.dumps(row))
    first, second = (pa.concat_tables(read_tables(path, domain="chat"))).to_pylist()
    assert (first["domain"], first["kind"], first["producer"]) == ("chat", "imported", '{"name": "rows.jsonl"}')
    assert second["domain"] == "maths"
    assert json.loads(second["extra"]) == {"source": "toy", "license": "CC0", "source_id": 7}
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert as_read(packed)["messages"].to_pylist() == as_read(path)["messages"].to_pylist()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"messages": "\xff"}', "line 2 .*no UTF-8: .* at byte 15"),
        ("{", "line 2 .*no JSON"),
        ("[1]", "line 2 .*list and no object"),
        ("{}", "row 2 .*neither `messages` nor"),
        ('{"messages": [{"role": "user"}]}', "row 2 .*no `content`"),
        ('{"messages": [{"role": "user", "content": null}]}', "row 2 .*both strings"),
        ('{"messages": 3}', "row 2 .*not iterable"),
        (GOOD.replace('"b"', '"\\ud800"'), "row 2 .*surrogate"),
        (GOOD[:-1] + ', "extra": 3}', "row 2 .*`extra` is an object"),
    ],
)
def test_what_is_no_row_is_named_with_its_line(tmp_path, line, what):
    with pytest.raises(UserError, match=what):
        list(read_tables(jsonl(tmp_path, GOOD, line)))


def test_what_is_no_file_of_rows_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "b.parquet").write_text("a")
    (tmp_path / "c.jsonl.gz").write_text("a")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "d.parquet")
    (tmp_path / "empty").mkdir()
    for name, what in [
        ("a.csv", "rows are read from"),
        ("b.parquet", "can be read"),
        ("c.jsonl.gz", "can be read"),
        ("d.parquet", "has a column"),
        ("empty", "none in"),
        ("missing.jsonl", "no file or folder"),
    ]:
        with pytest.raises(UserError, match=what):
            list(read_tables(tmp_path / name))


def test_a_file_is_read_in_pieces(tmp_path):
    path = jsonl(tmp_path, *[GOOD] * (ROWS + 1))
    assert [t.num_rows for t in read_tables(path)] == [ROWS, 1]
    huge = GOOD.replace('"b"', json.dumps("x" * (20 << 20)))
    assert [t.num_rows for t in read_tables(jsonl(tmp_path, huge, huge, GOOD))] == [2, 1]
