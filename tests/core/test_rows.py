import gzip
from pathlib import Path

import pytest
from pydantic import BaseModel

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows


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


@pytest.mark.parametrize("name", ["missing.jsonl", "broken.gz", "folder"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="can be read"):
        read_rows(tmp_path / name, Pair)
