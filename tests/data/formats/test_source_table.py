"""Tables of every kind read alike, and every broken one named with its place."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.data.formats.source_table import first_row, read_table, table_digest

ROWS = [{"q": "1+1?", "a": "2"}, {"q": 'a "quoted", word\nand a line', "a": "ü"}, {"q": "x", "a": "3"}]


def written(path: Path, rows: list[dict]) -> Path:
    """The rows in the form that the name asks for."""
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    elif path.suffix == "":
        datasets = pytest.importorskip("datasets")
        datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(path)
    else:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt", encoding="utf-8", newline="") as file:
            if ".csv" in path.name:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            else:
                file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def read(path: Path, *columns: str) -> list[dict]:
    return [row.values for row in read_table(str(path), split="train", columns=columns or ("q", "a"))]


def refusal(path: Path, *columns: str) -> UserError:
    with pytest.raises(UserError) as raised:
        read(path, *columns)
    return raised.value


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz", "t.csv", "t.csv.gz", "t.parquet", "folder"])
def test_every_kind_gives_the_same_rows(tmp_path, name):
    path = written(tmp_path / name, ROWS)
    assert read(path) == ROWS
    assert read(path, "a") == ROWS
    assert first_row(str(path), split="train").values == ROWS[0]
    digest = table_digest(str(path), split="train")
    other = written(tmp_path / ("2" + name), [*ROWS[:2], {"q": "y", "a": "3"}])
    assert digest == table_digest(str(path), split="train")
    assert digest != table_digest(str(other), split="train")


@given(rows=st.lists(st.fixed_dictionaries({"q": st.text(min_size=1), "a": st.text(min_size=1)}), min_size=1))
def test_any_text_comes_through_json_and_parquet(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("t")
    assert read(written(folder / "t.jsonl", rows)) == rows
    assert read(written(folder / "t.parquet", rows)) == rows


def test_places_count_lines_and_rows_from_one(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"q": 1}\n\n{"q": 2}\n')
    assert [r.place for r in read_table(str(tmp_path / "t.jsonl"), split="train", columns=["q"])] == [
        "line 1",
        "line 3",
    ]
    path = written(tmp_path / "t.csv", ROWS)
    assert [r.place for r in read_table(str(path), split="train", columns=["q"])] == ["line 2", "line 3", "line 5"]
    path = written(tmp_path / "t.parquet", ROWS)
    assert [r.place for r in read_table(str(path), split="train", columns=["q"])] == ["row 1", "row 2", "row 3"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b'\xef\xbb\xbf{"q": "x"}\n')
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfq,a\r\n1,2\r\n")
    assert read(tmp_path / "t.jsonl", "q") == [{"q": "x"}]
    assert read(tmp_path / "t.csv") == [{"q": "1", "a": "2"}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.jsonl", b'{"q": "1"}\n{"q": "\xff"}\n', "line 2 of"),
        ("t.jsonl", b'{"q": "1"}\n{"q": "2"', "line 2 of"),
        ("t.jsonl", b'{"q": "1"}\n[1]\n', "list and no object"),
        ("t.jsonl", b'{"q": NaN}\n', "NaN is no JSON"),
        ("t.jsonl", b'{"q": "\\ud800"}\n', "half a character"),
        ("t.jsonl", b"[" * 100_000 + b"\n", "line 1 of"),
        ("t.jsonl", b'{"p": "1"}\n', "no column `q` among p"),
        ("t.csv", b"q,a\n1,2\n3\n", "1 fields for 2 columns"),
        ("t.csv", b"q,q\n1,2\n", "columns ['q', 'q']"),
        ("t.csv", b'q,a\n1,2\n"3,4\n', "line 3 of"),
        ("t.csv", b"p,a\n1,2\n", "no column `q` among p, a"),
        ("t.csv", b"q,a\n\xff,2\n", "no UTF-8: invalid start byte at byte 1"),
        ("t.parquet", b"PAR1 and no more", "t.parquet"),
        ("t.jsonl.gz", b"no gzip", "gz"),
        ("t.xlsx", b"", "t.xlsx"),
    ],
)
def test_what_is_broken_is_named_with_its_place(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    error = refusal(tmp_path / name, "q")
    assert told in error.got
    assert str(tmp_path / name) in error.got


def test_columns_and_text_of_parquet_are_checked(tmp_path):
    assert "no column `q` among p" in refusal(written(tmp_path / "t.parquet", [{"p": 1}]), "q").got
    near = refusal(written(tmp_path / "t.parquet", [{"p": 1, "question": "x"}]), "qestion")
    assert near.remedy == "did you mean `question`?"
    bad = pa.array([b"fine", b"\xff"], pa.binary()).view(pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 2, bad.buffers())
    pq.write_table(pa.table({"q": strings}), tmp_path / "bad.parquet")
    assert "row 2" in refusal(tmp_path / "bad.parquet", "q").got


def test_a_cut_gzip_file_is_named(tmp_path):
    path = written(tmp_path / "t.jsonl.gz", [{"q": "x" * 9, "a": str(n)} for n in range(99)])
    path.write_bytes(path.read_bytes()[:-20])
    assert "can be read" in refusal(path).rule


def test_a_table_that_is_not_there_is_named(tmp_path):
    assert "nowhere.jsonl" in refusal(tmp_path / "nowhere.jsonl").got
    with pytest.raises(UserError, match="no file or folder"):
        table_digest(str(tmp_path / "nowhere.csv"), split="train")


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_a_row_of_50_mb_is_refused_with_its_place(tmp_path, name):
    path = written(tmp_path / name, [{"q": "x", "a": "1"}, {"q": "x" * 50_000_000, "a": "2"}])
    error = refusal(path)
    place = "row 2" if name == "t.parquet" else "line 3" if name == "t.csv" else "line 2"
    assert error.got == f"{place} of {path}: more than 16 MiB"


def test_a_split_that_is_not_there_is_named(tmp_path):
    path = written(tmp_path / "folder", ROWS)
    with pytest.raises(UserError, match="has the split"):
        list(read_table(str(path), split="test", columns=["q"]))
    (tmp_path / "empty").mkdir()
    assert "none in" in refusal(tmp_path / "empty").got


def test_a_set_of_the_hub_is_read_as_a_folder_is(tmp_path, monkeypatch):
    (tmp_path / "main").mkdir()
    written(tmp_path / "main" / "train.jsonl", ROWS)
    monkeypatch.setattr(hub, "download_rows", lambda path: tmp_path / path.removeprefix("hub:org/name").strip("/"))
    assert [row.values for row in read_table("hub:org/name/main", split="train", columns=["q", "a"])] == ROWS
    named = "hub:org/name/main/train.jsonl"
    assert table_digest("hub:org/name/main", split="train") == table_digest(named, split="train")


def test_a_list_a_pattern_and_their_digests(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(ROWS))
    assert read(tmp_path / "t.json") == ROWS
    for number, row in enumerate(ROWS):
        written(tmp_path / f"part-{number}.jsonl", [row])
    pattern = str(tmp_path / "part-*.jsonl")
    rows = list(read_table(pattern, split="train", columns=["q", "a"]))
    assert [row.values for row in rows] == ROWS
    assert [row.place for row in rows] == [f"line 1 of part-{n}.jsonl" for n in range(3)]
    before = table_digest(pattern, split="train")
    written(tmp_path / "part-1.jsonl", [ROWS[0]])
    assert table_digest(pattern, split="train") != before


def test_a_table_without_rows_has_no_first_one(tmp_path):
    (tmp_path / "t.jsonl").write_text("")
    with pytest.raises(UserError, match="none in"):
        first_row(str(tmp_path / "t.jsonl"), split="train")
