"""Lines of JSON objects, plain and gzipped; what is none is named (more in `test_table.py` and `test_read.py`)."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.data.json_lines import LONGEST_ROW, json_lines, lines

OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=3))


@given(OBJECTS, st.booleans())
def test_objects_come_back_with_their_lines(tmp_path_factory, objects, packed: bool) -> None:
    path = tmp_path_factory.mktemp("j") / ("rows.jsonl.gz" if packed else "rows.jsonl")
    text = "\n".join(["", *(json.dumps(row) for row in objects), ""]).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    assert [(number, row) for number, row, _ in json_lines(path)] == list(enumerate(objects, start=2))


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
        list(json_lines(path))
