"""Rows of others as samples: what they lack is filled in, what is none is named, and files are read in pieces."""

import datetime
import decimal
import gzip
import json

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.data.formats.read import ROWS, read_tables


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
        ("{}", "line 2 .*neither `messages` nor"),
        ('{"messages": [{"role": "user"}]}', "line 2 .*no `content`"),
        ('{"messages": [{"role": "user", "content": null}]}', "line 2 .*both strings"),
        ('{"messages": 3}', "line 2 .*no list of turns"),
        ('{"messages": []}', "line 2 .*`messages` has no turns"),
        (GOOD.replace('"b"', '"\\ud800"'), "line 2 .*surrogate"),
        (GOOD[:-1] + ', "extra": 3}', "line 2 .*`extra` is an object"),
    ],
)
def test_what_is_no_row_is_named_with_its_line(tmp_path, line, what):
    with pytest.raises(UserError, match=what):
        list(read_tables(jsonl(tmp_path, GOOD, line)))


def test_what_is_no_file_of_rows_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.parquet").write_text("a")
    (tmp_path / "c.jsonl.gz").write_text("a")
    pq.write_table(pa.table({"x": ["a"]}), tmp_path / "d.parquet")
    (tmp_path / "empty").mkdir()
    for name, what in [
        ("a.txt", "rows are read from"),
        ("b.parquet", "can be read"),
        ("c.jsonl.gz", "can be read"),
        ("d.parquet", "neither `messages` nor another form's columns: x"),
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


MESSAGES = json.loads(GOOD)["messages"]


def test_null_is_not_there(tmp_path):
    rows = [
        {"messages": MESSAGES, "conversations": None, "domain": None, "kind": None, "extra": None, "producer": None},
        {"messages": None, "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    ]
    found = as_read(jsonl(tmp_path, *map(json.dumps, rows))).to_pylist()
    assert [(r["domain"], r["kind"], r["messages"], r["extra"]) for r in found] == [
        ("unnamed", "imported", MESSAGES, "{}")
    ] * 2


def test_what_a_row_says_of_its_turns_is_kept(tmp_path):
    row = {"messages": [MESSAGES[0], {**MESSAGES[1], "weight": 0, "name": "Ann"}], "extra": {"untrained": [3]}}
    (found,) = as_read(jsonl(tmp_path, json.dumps(row))).to_pylist()
    assert json.loads(found["extra"]) == {"untrained": [1, 3], "turns": {"1": {"name": "Ann"}}}


def test_columns_named_as_ours_of_single_turns_are_kept_apart(tmp_path):
    (found,) = as_read(jsonl(tmp_path, json.dumps({"messages": MESSAGES, "turns": 1, "untrained": "no"}))).to_pylist()
    assert json.loads(found["extra"]) == {"source_turns": 1, "source_untrained": "no"}


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"problem_id": 7}, "`problem_id` is a text"),
        ({"parents": "abc"}, "`parents` is a list"),
        ({"verdicts": "good"}, "`verdicts` is a list"),
        ({"dropped": False}, "`dropped` is an object"),
        ({"domain": {"a": 1}}, "`domain` is a name"),
        ({"extra": "free text"}, "`extra` is an object"),
        ({"extra": {"turns": {"0": 1}}}, "`extra.turns` is an object of objects"),
        ({"note": "half \ud800"}, "half a character"),
    ],
)
def test_fields_of_other_forms_are_named(tmp_path, field, why):
    with pytest.raises(UserError, match=f"line 1 of .*{why}"):
        as_read(jsonl(tmp_path, json.dumps({"messages": MESSAGES, **field})))


def test_a_json_list_is_read(tmp_path):
    for name, packed in (("rows.json", bytes), ("rows.json.gz", gzip.compress)):
        (tmp_path / name).write_bytes(packed(json.dumps([{"messages": MESSAGES}] * 3, indent=2).encode()))
        assert as_read(tmp_path / name)["messages"].to_pylist() == [MESSAGES] * 3
    (tmp_path / "rows.json").write_text("[1]")
    with pytest.raises(UserError, match=r"item 1 of .*int and no object"):
        as_read(tmp_path / "rows.json")


def test_values_that_json_does_not_know_become_ones_that_it_knows(tmp_path):
    columns = {
        "messages": [MESSAGES],
        "score": pa.array([float("nan")]),
        "most": pa.array([-float("inf")]),
        "img": pa.array([b"\x89PNG"]),
        "when": pa.array([datetime.datetime(2024, 1, 2)]),
        "price": pa.array([decimal.Decimal("1.10")]),
        "tags": pa.array([{"a": 1}], pa.map_(pa.string(), pa.int64())),
        "label": pa.array(["x"]).dictionary_encode(),
        "nothing": pa.nulls(1),
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    (found,) = as_read(tmp_path / "rows.parquet").to_pylist()
    assert json.loads(found["extra"], parse_constant=pytest.fail) == {
        "score": "NaN",
        "most": "-Infinity",
        "img": {"base64": "iVBORw=="},
        "when": "2024-01-02T00:00:00",
        "price": "1.10",
        "tags": [["a", 1]],
        "label": "x",
    }


@pytest.mark.parametrize("kind", ["large", "sequence", "text"])
def test_nested_columns_are_read(tmp_path, kind):
    turn = pa.struct([("role", pa.large_string()), ("content", pa.large_string()), ("name", pa.string())])
    column = {
        "large": pa.array([MESSAGES], pa.large_list(turn)),
        "sequence": pa.array([{"role": ["user", "assistant"], "content": ["a", "b"]}]),
        "text": pa.array([json.dumps(MESSAGES)]),
    }[kind]
    pq.write_table(pa.table({"messages": column}), tmp_path / "rows.parquet")
    assert as_read(tmp_path / "rows.parquet")["messages"].to_pylist() == [MESSAGES]


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    column = pa.array([MESSAGES])
    pq.write_table(pa.Table.from_arrays([column, column], names=["messages"] * 2), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match="messages twice"):
        as_read(tmp_path / "rows.parquet")


def test_both_of_arrows_formats_are_read(tmp_path):
    table = pa.table({"messages": [MESSAGES]})
    for name, new in (("file.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with new(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
        assert as_read(tmp_path / name)["messages"].to_pylist() == [MESSAGES]


def _saved(folder, rows: int) -> None:
    """As `save_to_disk` of the `datasets` library writes it, with a cache of `map` beside it."""
    folder.mkdir(parents=True)
    for name, content in (("data-00000-of-00001.arrow", "b"), ("cache-1f.arrow", "MAPPED")):
        turns = [MESSAGES[0], {"role": "assistant", "content": content}]
        table = pa.table({"messages": [turns] * rows})
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def test_a_saved_folder_holds_what_it_says_and_no_caches(tmp_path):
    _saved(tmp_path / "one", 4)
    assert as_read(tmp_path / "one")["messages"].to_pylist() == [MESSAGES] * 4
    (tmp_path / "one" / "state.json").unlink()
    assert as_read(tmp_path / "one").num_rows == 4


def test_splits_are_not_mixed(tmp_path):
    for split in ("train", "test"):
        _saved(tmp_path / "dict" / split, 2)
    (tmp_path / "dict" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(UserError, match="test, train in"):
        as_read(tmp_path / "dict")
    assert as_read(tmp_path / "dict" / "train").num_rows == 2
    hub = tmp_path / "hub" / "data"
    hub.mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002"):
        pq.write_table(pa.table({"messages": [MESSAGES]}), hub / f"{name}.parquet")
    assert as_read(tmp_path / "hub").num_rows == 2
    pq.write_table(pa.table({"messages": [MESSAGES]}), hub / "validation-00000-of-00001.parquet")
    with pytest.raises(UserError, match="several splits"):
        as_read(tmp_path / "hub")


def test_the_library_reads_the_same_rows(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"messages": MESSAGES, "n": i} for i in range(4)])
    rows.save_to_disk(tmp_path / "disk")
    datasets.load_from_disk(tmp_path / "disk").map(lambda row: {"n": row["n"] + 7})
    assert len(list((tmp_path / "disk").glob("*.arrow"))) == 2
    assert [json.loads(extra)["n"] for extra in as_read(tmp_path / "disk")["extra"].to_pylist()] == [0, 1, 2, 3]
    kept = datasets.load_from_disk(tmp_path / "disk").select([1])
    kept.save_to_disk(tmp_path / "kept")
    assert [json.loads(extra)["n"] for extra in as_read(tmp_path / "kept")["extra"].to_pylist()] == [1]
