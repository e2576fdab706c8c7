import gzip
import math
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, FiniteFloat

from afterbase.core import rows
from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows, read_table, refuse_repeats


class Pair(BaseModel):
    name: str
    count: int = 0


@pytest.mark.parametrize("pack", [False, True])
def test_rows_in_order_from_plain_and_gzipped_files(tmp_path: Path, pack: bool) -> None:
    text = b'{"name": "a", "count": 2}\n\n{"name": "b", "more": 1}\n'
    path = tmp_path / ("rows.jsonl.gz" if pack else "rows.jsonl")
    path.write_bytes(gzip.compress(text) if pack else text)
    assert read_rows(path, Pair) == [Pair(name="a", count=2), Pair(name="b")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"name": "a"}\n{"count": 1}\n', "line 2 of"),
        (b"[1]\n", "line 1 of"),
        (b'{"name": "a"\n', "line 1 of"),
        (b'{"name": "\xff"}\n', "line 1 of"),
        (b'{"name": "a", "count": "x"}\n', "count: "),
        (b"\n\n", "none in"),
    ],
)
def test_what_is_no_row_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_rows(tmp_path / "rows.jsonl", Pair)
    assert told in error.value.got


def test_half_a_surrogate_pair_is_read_from_json_and_what_python_cannot_read_is_told(tmp_path: Path) -> None:
    class Text(BaseModel):
        name: Any

    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "\\ud800"}\n')
    assert read_rows(path, Text) == [Text(name="\ud800")]
    for line in ("[" * 100_000, '{"name": ' + "1" * 5000 + "}", "{}", "[]"):
        path.write_text(f'{{"name": 1}}\n{line}\n')
        with pytest.raises(UserError) as error:
            read_rows(path, Text)
        assert error.value.got.startswith(f"line 2 of {path}")


@pytest.mark.parametrize("name", ["missing.jsonl", "broken.gz", "folder"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="can be read"):
        read_rows(tmp_path / name, Pair)


@pytest.mark.parametrize("pack", [False, True])
def test_table_by_its_header_from_plain_and_gzipped_files(tmp_path: Path, pack: bool) -> None:
    text = '\ufeffcount,name,more\n2,"a, b",\n0,c,x\n'.encode()
    path = tmp_path / ("rows.csv.gz" if pack else "rows.csv")
    path.write_bytes(gzip.compress(text) if pack else text)
    assert read_table(path, Pair) == [Pair(name="a, b", count=2), Pair(name="c")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name,count\na,1\nb,x\n", "line 3 of"),
        (b"name,count\na,1\n,2\n", "name: "),
        (b"count\n1\n", "name: must be given"),
        (b"name,count\na\n", "1 fields for 2 columns"),
        (b"name,count\na,1,2\n", "3 fields for 2 columns"),
        (b"name,count\n\xff,1\n", "no UTF-8: invalid start byte at byte 1"),
        (b"name,count\n", "none in"),
        (b"", "none in"),
    ],
)
def test_what_is_no_row_of_a_table_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_table(tmp_path / "rows.csv", Pair)
    assert told in error.value.got


def test_objects_of_a_list(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"name": "a", "count": 2}, {"name": "b"}]')
    assert read_rows(path, Pair) == [Pair(name="a", count=2), Pair(name="b")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"name": "a"}, {"count": 1}]', "item 2 of"),
        ("[1]", "item 1 of"),
        ("[", "rows.json: "),
        ("[]", "none in"),
    ],
)
def test_what_is_no_object_of_a_list_is_named(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(UserError) as error:
        read_rows(tmp_path / "rows.json", Pair)
    assert told in error.value.got


def test_files_that_are_damaged_or_absent_are_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"name\na\n" * 100)
    for name, content in {
        "cut.csv.gz": whole[:-12],
        "plain.csv.gz": b"name\na\n",
        "torn.csv.gz": whole[:20] + b"xxxx",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_table(tmp_path / name, Pair)
    with pytest.raises(UserError, match="nowhere"):
        read_table(tmp_path / "nowhere.csv", Pair)


def test_a_packed_file_is_counted_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of 80 KB that holds 80 MB; what is read of it stays near the limit."""
    monkeypatch.setattr(rows, "_MOST", 8 << 20)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * (80 << 20)))
    tracemalloc.start()
    with pytest.raises(UserError, match="more than 8 MiB"):
        read_rows(path, Pair)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_a_list_that_is_nested_without_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="nested too deeply"):
        read_rows(tmp_path / "rows.json", Pair)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[1,2", "no JSON from character 5 on"),
        ("{\"name\": 'a'}", "no JSON from character 10 on"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "more than 4,300 digits"),
    ],
    ids=["cut", "quotes", "deep", "long"],
)
def test_faults_are_told_in_words_of_our_own(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "rows.jsonl").write_text(line)
    (tmp_path / "rows.json").write_text(line)
    for name in ("rows.jsonl", "rows.json"):
        with pytest.raises(UserError) as error:
            read_rows(tmp_path / name, Pair)
        assert told in error.value.got
    with pytest.raises(UserError) as error:
        read_rows(tmp_path / "none.jsonl", Pair)
    assert "Errno" not in error.value.got


def test_what_stands_twice_is_named_and_what_stands_once_is_not() -> None:
    refuse_repeats([1, "1", ("a", 1), ("a", 2)], "a.jsonl")
    with pytest.raises(UserError, match="a question is asked once") as error:
        refuse_repeats([("a", 1), "b", ("a", 1)], "a.jsonl", "a question is asked once")
    assert error.value.got == "('a', 1) more than once in a.jsonl"


def test_numbers_that_are_no_json_are_read_where_the_model_takes_them(tmp_path: Path) -> None:
    class Number(BaseModel):
        value: float

    class Finite(BaseModel):
        value: FiniteFloat

    (tmp_path / "rows.jsonl").write_text('{"value": NaN}\n')
    assert math.isnan(read_rows(tmp_path / "rows.jsonl", Number)[0].value)
    with pytest.raises(UserError, match="line 1 of"):
        read_rows(tmp_path / "rows.jsonl", Finite)


def test_many_short_rows_of_a_packed_file_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MOST", 1 << 20)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"name": "a"}\n' * (1 << 17)))
    with pytest.raises(UserError, match="a packed file of more than 1 MiB"):
        read_rows(path, Pair)
