"""Lines of JSON objects, plain and gzipped; what is none is named (tables: `test_source_table.py`, `test_read.py`)."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.row_files import LONGEST_ROW, csv_rows, json_rows, lines, parquet_rows

OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=3))


@given(OBJECTS, st.booleans())
def test_objects_come_back_with_their_lines(tmp_path_factory, objects, packed: bool) -> None:
    path = tmp_path_factory.mktemp("j") / ("rows.jsonl.gz" if packed else "rows.jsonl")
    text = "\n".join(["", *(json.dumps(row) for row in objects), ""]).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    assert [row[:2] for row in json_rows(path)] == [(f"line {n}", row) for n, row in enumerate(objects, start=2)]


def test_a_line_at_the_bound_is_read_and_one_above_is_not(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"x" * (LONGEST_ROW - 1) + b"\n")
    assert len(next(lines(path))[1]) == LONGEST_ROW
    path.write_bytes(b"x" * (LONGEST_ROW + 1))
    with pytest.raises(UserError) as raised:
        list(lines(path))
    assert raised.value.got == f"line 1 of {path}: more than 16 MiB"
    assert len(next(lines(path, longest=2 * LONGEST_ROW))[1]) == LONGEST_ROW + 1


@pytest.mark.parametrize("line", ["NaN", "[]", "{", '{"a": Infinity}', "1"])
def test_what_is_no_object_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(UserError, match="line 2 of"):
        list(json_rows(path))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": 1, "a": 2}\n', "line 1 of .*`a` twice in one object"),
        (b'{"a": Infinity}\n', "Infinity is no JSON"),
        (b'{"a": tru}\n', "from character 7 on, `tru}`"),
        (b'{"a":\n', "where it ends: an object stands on one line"),
        (b'[\n{"a": 1}]\n', "a list is read from a file that is named .json"),
        (b'{"a": ' + b"1" * 5000 + b"}\n", "more than 4,300 digits"),
        ("{}".encode("utf-16"), "line 1 of .*UTF-16"),
    ],
)
def test_faults_are_told_in_words_of_our_own(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=why) as caught:
        list(json_rows(tmp_path / "rows.jsonl"))
    assert "Expecting" not in str(caught.value)


def test_what_expands_without_end_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b"[" + b" " * (3 << 20)))
    with pytest.raises(UserError, match="more than 1 MiB"):
        list(json_rows(tmp_path / "rows.jsonl.gz", longest=1 << 20))


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b'{"a": 1}\n' * 99)
    for broken in (whole[:-9], whole[:12] + b"\xff" * 9 + whole[21:]):
        (tmp_path / "rows.jsonl.gz").write_bytes(broken)
        with pytest.raises(UserError, match="can be read"):
            list(json_rows(tmp_path / "rows.jsonl.gz"))


@given(OBJECTS)
def test_zstandard_is_read_in_one_frame_or_several(tmp_path_factory, objects) -> None:
    path = tmp_path_factory.mktemp("z") / "rows.jsonl.zst"
    frames = [pa.compress((json.dumps(row) + "\n").encode(), codec="zstd", asbytes=True) for row in objects]
    path.write_bytes(b"".join(frames) or pa.compress(b"", codec="zstd", asbytes=True))
    assert [row.values for row in json_rows(path)] == objects


def test_broken_zstandard_is_named(tmp_path: Path) -> None:
    path, whole = tmp_path / "rows.jsonl.zst", pa.compress(b'{"a": 1}\n' * 99, codec="zstd", asbytes=True)
    for broken in (whole[:-3], b"no zstd"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match="can be read"):
            list(json_rows(path))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
def test_csv_is_read_whatever_its_lines_end_in(tmp_path: Path, end: str, last: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(end.join(['"a\nb",b', '1,"x, ""y"""', f"ü,2{end if last else ''}"]).encode())
    assert [row.values for row in csv_rows(path)] == [{"a\nb": "1", "b": 'x, "y"'}, {"a\nb": "ü", "b": "2"}]
    assert [row.place for row in csv_rows(path)] == ["line 3", "line 4"]


TEXTS = [["a", "ü"], ["", "c"]]
COLUMNS = {
    "strings": pa.array(["a", None]),
    "large": pa.array(["a", None], pa.large_string()),
    "dictionary": pa.array(["a", None]).dictionary_encode(),
    "lists": pa.array(TEXTS, pa.list_(pa.string())),
    "large lists": pa.array(TEXTS, pa.large_list(pa.large_string())),
    "fixed lists": pa.array(TEXTS, pa.list_(pa.string(), 2)),
    "views": pa.array(["a", None], pa.string_view()),
}


@pytest.mark.parametrize("packed", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("name", COLUMNS)
def test_texts_and_lists_of_every_type_come_out_of_parquet(tmp_path: Path, name: str, packed: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": COLUMNS[name]}), path, compression=packed)
    assert [row.values["x"] for row in parquet_rows(path)] == COLUMNS[name].to_pylist()


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("opened", [pa.ipc.new_file, pa.ipc.new_stream])
def test_texts_and_lists_of_every_type_come_out_of_arrow(tmp_path: Path, name: str, opened) -> None:
    table = pa.table({"x": COLUMNS[name], "y": pa.array([1, 2])})
    with opened(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    assert [row.values for row in parquet_rows(tmp_path / "rows.arrow")] == table.to_pylist()
