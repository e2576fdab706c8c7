import json

import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, conversation, write_samples
from afterbase.data.clean import gather as module
from afterbase.data.clean.gather import gather


def samples(count: int) -> list[Sample]:
    return [
        Sample(messages=conversation("Q", str(i)), domain="d", kind="open", problem_id=None, producer={"name": "toy"})
        for i in range(count)
    ]


def gathered(tmp_path, *sources, scratch="scratch"):
    (tmp_path / scratch).mkdir(exist_ok=True)
    shown: list[int] = []
    pieces, ends = gather([tmp_path / s for s in sources], tmp_path / scratch, "unnamed", shown.append)
    tables = [pq.ParquetFile(p.path).read_row_group(p.group) for p in pieces]
    return pieces, ends.tolist(), [row["messages"][1]["content"] for t in tables for row in t.to_pylist()], shown


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_samples_in_small_groups_stay_where_they_are(tmp_path):
    write_samples(tmp_path / "whole.parquet", samples(5))
    pq.write_table(pq.read_table(tmp_path / "whole.parquet"), tmp_path / "a.parquet", row_group_size=2)
    pieces, ends, answers, _ = gathered(tmp_path, "a.parquet")
    assert [(p.path.name, p.group) for p in pieces] == [("a.parquet", i) for i in range(3)]
    assert ends == [2, 4, 5]
    assert answers == list("01234")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_everything_else_is_copied_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 3)
    write_samples(tmp_path / "a.parquet", samples(4))
    jsonl(tmp_path / "b.jsonl", [{"messages": conversation("Q", "x")}])
    pieces, ends, answers, shown = gathered(tmp_path, "a.parquet", "b.jsonl")
    assert [p.path.name for p in pieces] == ["rows-000.parquet", "rows-001.parquet"]
    assert ends == [4, 5]
    assert answers == [*"0123", "x"]
    assert shown[-1] == 5
    (tmp_path / "scratch" / "rows-002.part").write_text("half a file")

    def never(*_: object) -> None:
        raise AssertionError("copied again")

    monkeypatch.setattr(module, "_copy", never)
    assert gathered(tmp_path, "a.parquet", "b.jsonl")[2] == answers


def test_an_id_of_two_different_rows_is_refused(tmp_path):
    same, other = ({"id": 1, "messages": conversation("Q", text)} for text in "ab")
    jsonl(tmp_path / "a.jsonl", [same, same, {**other, "id": 2}])
    assert gathered(tmp_path, "a.jsonl")[1] == [3]
    jsonl(tmp_path / "b.jsonl", [{"id": 0, "messages": conversation("Q", "c")}, same, other])
    with pytest.raises(UserError, match=r"rows 2 and 3 of those with an id in .*b.jsonl"):
        gathered(tmp_path, "b.jsonl", scratch="b")
    jsonl(tmp_path / "c.jsonl", [other])
    assert gathered(tmp_path, "a.jsonl", "c.jsonl", scratch="c")[1] == [3, 4], "two files may count alike"
