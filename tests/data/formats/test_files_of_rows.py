"""Which files a path means: a file, a pattern, a folder and one of its splits."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.data.formats.files_of_rows import files_digest, files_of, is_arrow, is_csv, rows_of_file


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"a": [name]}), folder / name)
        else:
            (folder / name).write_text(json.dumps({"a": name}) + "\n")
    return folder


def names(folder: Path, path: str, **wanted: str) -> list[str]:
    return [str(file.relative_to(folder)) for file in files_of(folder / path, **wanted)]


def test_patterns_give_files_in_order_and_a_file_of_that_name_is_itself(tmp_path):
    made(tmp_path, "b.jsonl", "a.jsonl", "c.csv", "deep/d.jsonl", "[x].jsonl")
    assert names(tmp_path, "?.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(tmp_path, "**/d.jsonl") == ["deep/d.jsonl"]
    assert names(tmp_path, "[x].jsonl") == ["[x].jsonl"]
    with pytest.raises(UserError, match=r"none matches .*\.arrow"):
        names(tmp_path, "*.arrow")
    with pytest.raises(UserError, match="no file or folder"):
        names(tmp_path, "e.jsonl")


def test_a_folder_gives_one_kind_of_files_and_one_split(tmp_path):
    made(tmp_path, "hub/data/train-00001.parquet", "hub/data/train-00000.parquet", "hub/data/test-00000.parquet")
    made(tmp_path, "texts/b.jsonl", "texts/a.jsonl", "texts/README.txt", "one/test.parquet")
    assert names(tmp_path, "hub", split="train") == ["hub/data/train-00000.parquet", "hub/data/train-00001.parquet"]
    assert names(tmp_path, "hub", split="test") == ["hub/data/test-00000.parquet"]
    assert names(tmp_path, "texts", split="train") == ["texts/a.jsonl", "texts/b.jsonl"]
    assert names(tmp_path, "one") == ["one/test.parquet"]
    with pytest.raises(UserError, match="test, train in"):
        names(tmp_path, "hub")
    with pytest.raises(UserError, match=r"no `validation`: test, train in"):
        names(tmp_path, "hub", split="validation")
    with pytest.raises(UserError, match=r"no `train`: test in"):
        names(tmp_path, "one", split="train")


def test_splits_whose_names_begin_alike_are_not_one(tmp_path):
    made(tmp_path, *(f"data/train_{kind}-0000{n}-of-00002.parquet" for kind in ("sft", "gen") for n in range(2)))
    assert len(names(tmp_path, ".", split="train_sft")) == 2
    with pytest.raises(UserError, match="no `train`: train_gen, train_sft"):
        names(tmp_path, ".", split="train")


def test_a_set_of_the_hub_is_a_folder_or_what_is_named_in_it(tmp_path, monkeypatch):
    made(tmp_path, "main/train.jsonl", "main/test.jsonl")
    monkeypatch.setattr(hub, "download_rows", lambda path: tmp_path / path.removeprefix("hub:org/name").strip("/"))
    assert files_of("hub:org/name/main", split="test") == [tmp_path / "main" / "test.jsonl"]
    assert files_of("hub:org/name/main/train.jsonl", split="test") == [tmp_path / "main" / "train.jsonl"]
    with pytest.raises(UserError, match="of the hub") as refused:
        files_of("hub:org/name", split="train")
    assert refused.value.remedy.endswith("hub:org/name/main")


def test_a_saved_set_gives_the_files_of_its_split(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = {name: datasets.Dataset.from_list([{"a": name}]) for name in ("train", "test")}
    datasets.DatasetDict(rows).save_to_disk(tmp_path / "set")
    for name in rows:
        (file,) = files_of(tmp_path / "set", split=name)
        assert [row.values for row in rows_of_file(file)] == [{"a": name}]


@pytest.mark.parametrize(
    ("name", "arrow", "csv"),
    [("a.Parquet", True, False), ("a.arrow", True, False), ("a.CSV.gz", False, True), ("a.jsonl.zst", False, False)],
)
def test_kinds_are_known_by_the_name(name, arrow, csv):
    assert (is_arrow(Path(name)), is_csv(Path(name))) == (arrow, csv)


def test_a_digest_is_of_what_files_hold_and_not_of_where_they_lie(tmp_path):
    made(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    assert files_digest([a]) == files_digest([b]) != files_digest([a, b])
    b.write_text("{}")
    assert files_digest([a, b]) != files_digest([b, a])
    with pytest.raises(UserError, match="can be read"):
        files_digest([tmp_path / "c.jsonl"])
    with pytest.raises(UserError, match="rows are read from"):
        list(rows_of_file(made(tmp_path, "d.txt") / "d.txt"))
