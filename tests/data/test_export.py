import gzip
import json
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA, Sample, Status, Verdict, conversation, read_samples, write_samples
from afterbase.data.export import Form, export, whole
from afterbase.data.read import ROWS, read_tables

FORMS = get_args(Form)
NAMES = {"parquet": "out.parquet", "chat": "out.jsonl", "sharegpt": "out.jsonl", "datasets": "out"}
OK = Verdict(verifier="maths", status=Status.OK, value=1.0, reason="match")


def sample(answer: str, **fields) -> Sample:
    plain = {"domain": "logic", "kind": "curated", "problem_id": None, "producer": {"name": "toy"}}
    lists: dict = {"parents": [], "verdicts": []}  # as they are read
    return Sample(messages=conversation("Q", answer, system=fields.pop("system", None)), **{**plain, **lists, **fields})


SAMPLES = [
    sample('因此 \U0001f600 \u2028 \\ " \n', system="Be brief."),
    sample("b", problem_id="p", parents=["x", "y"], verdicts=[OK], extra={"license": "MIT", "n": [1, {"a": None}]}),
    sample("gone").drop("curate", "wrong", 0.0),
]


def written(folder, samples):
    path = folder / "samples.parquet"
    write_samples(path, samples)
    return path


def as_read(path) -> pa.Table:
    return pa.concat_tables(read_tables(path))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_kept_samples_back(tmp_path, form):
    source, out = written(tmp_path, SAMPLES), tmp_path / NAMES[form]
    assert export(read_tables(source), out, form) == 2
    back = as_read(out)
    assert back.schema.equals(SAMPLE_SCHEMA)
    assert back.to_pylist() == pq.read_table(source).slice(0, 2).to_pylist()
    write = tmp_path / "again.parquet"
    pq.write_table(back, write)
    assert read_samples(write) == SAMPLES[:2]
    assert {p.name for p in tmp_path.iterdir()} == {source.name, out.name, write.name}


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.sampled_from(["chat", "sharegpt"]))
def test_any_text_survives_json(tmp_path_factory, texts, form):
    folder = tmp_path_factory.mktemp("texts")
    source = written(folder, [sample(text) for text in texts])
    export(read_tables(source), folder / "out.jsonl", form)
    assert as_read(folder / "out.jsonl")["messages"].to_pylist() == pq.read_table(source)["messages"].to_pylist()


def test_the_forms_are_those_that_others_read(tmp_path):
    source = written(tmp_path, SAMPLES)
    export(read_tables(source), tmp_path / "chat.jsonl", "chat")
    export(read_tables(source), tmp_path / "share.jsonl", "sharegpt")
    chat = json.loads((tmp_path / "chat.jsonl").read_text().split("\n")[1])
    share = json.loads((tmp_path / "share.jsonl").read_text().split("\n")[1])
    assert chat["messages"] == [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "b"}]
    assert share["conversations"] == [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "b"}]
    assert chat["extra"] == share["extra"] == {"license": "MIT", "n": [1, {"a": None}]}


def test_datasets_reads_its_folder_and_its_own_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    source = written(tmp_path, SAMPLES)
    export(read_tables(source), tmp_path / "folder", "datasets")
    loaded = datasets.load_dataset(str(tmp_path / "folder"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["messages"][1] == [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "b"}]
    loaded.save_to_disk(str(tmp_path / "saved"))
    assert as_read(tmp_path / "saved")["id"].to_pylist() == [s.id for s in SAMPLES[:2]]


def test_an_export_does_not_overwrite(tmp_path):
    source = written(tmp_path, SAMPLES)
    with pytest.raises(UserError, match="does not overwrite"):
        export(read_tables(source), source, "parquet")
    assert read_samples(source) == SAMPLES


def test_what_fails_half_way_leaves_nothing(tmp_path):
    def half_way():
        with whole(tmp_path / "x") as part:
            part.mkdir()
            (part / "y").write_text("z")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        half_way()
    assert list(tmp_path.iterdir()) == []


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
        (b'{"messages": "\xff"}', "row 2 .*byte 14 is not UTF-8"),
        ("{", "row 2 .*not JSON"),
        ("[1]", "row 2 .*list, not an object"),
        ("{}", "row 2 .*neither `messages` nor"),
        ('{"messages": [{"role": "user"}]}', "row 2 .*content"),
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
