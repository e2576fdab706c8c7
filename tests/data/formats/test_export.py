import json
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import SAMPLE_SCHEMA, Sample, Status, Verdict, conversation, read_samples, write_samples
from afterbase.data.formats.export import Form, export, whole
from afterbase.data.formats.read import read_tables

FORMS = get_args(Form)
NAMES = {"parquet": "out.parquet", "chat": "out.jsonl", "sharegpt": "out.jsonl", "datasets": "out"}
OK = Verdict(verifier="maths", status=Status.OK, value=1.0, reason="match")


def sample(answer: str, **fields) -> Sample:
    plain = {"domain": "logic", "kind": "curated", "problem_id": None, "producer": {"name": "toy"}}
    lists: dict = {"parents": [], "verdicts": []}  # as they are read
    return Sample(messages=conversation("Q", answer, system=fields.pop("system", None)), **{**plain, **lists, **fields})


CALL = {"type": "function", "function": {"name": "now", "arguments": {"zone": None}}}
TOOL = {"type": "function", "function": {"name": "now"}}
SAMPLES = [
    sample('因此 \U0001f600 \u2028 \\ " \n', system="Be brief."),
    sample("b", problem_id="p", parents=["x", "y"], verdicts=[OK], extra={"license": "MIT", "n": [1, {"a": None}]}),
    sample("", extra={"turns": {"1": {"tool_calls": [CALL]}}, "tools": [TOOL], "untrained": [1]}),
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
    assert export(read_tables(source), out, form) == 3
    back = as_read(out)
    assert back.schema.equals(SAMPLE_SCHEMA)
    assert back.to_pylist() == pq.read_table(source).slice(0, 3).to_pylist()
    write = tmp_path / "again.parquet"
    pq.write_table(back, write)
    assert read_samples(write) == SAMPLES[:3]
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
    called = json.loads((tmp_path / "chat.jsonl").read_text().split("\n")[2])
    assert called["messages"][1] == {"role": "assistant", "content": "", "weight": 0, "tool_calls": [CALL]}
    assert called["tools"] == [TOOL]
    assert chat["extra"] == share["extra"] == {"license": "MIT", "n": [1, {"a": None}]}


def test_datasets_reads_its_folder_and_its_own_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    source = written(tmp_path, SAMPLES)
    export(read_tables(source), tmp_path / "folder", "datasets")
    loaded = datasets.load_dataset(str(tmp_path / "folder"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["messages"][1] == [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "b"}]
    loaded.save_to_disk(str(tmp_path / "saved"))
    assert as_read(tmp_path / "saved")["id"].to_pylist() == [s.id for s in SAMPLES[:3]]


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


@pytest.mark.parametrize("form", FORMS)
def test_what_single_turns_hold_comes_back(tmp_path, form):
    extra = {"untrained": [1], "turns": {"1": {"name": "Ann"}}, "score": "NaN"}
    source, out = written(tmp_path, [sample("b", extra=extra)]), tmp_path / NAMES[form]
    export(read_tables(source), out, form)
    assert as_read(out).to_pylist() == pq.read_table(source).to_pylist()
    if form == "chat":
        (line,) = out.read_text().splitlines()
        assert json.loads(line)["messages"][1] == {"role": "assistant", "content": "b", "name": "Ann", "weight": 0}


def test_what_is_no_number_is_never_written_as_json(tmp_path):
    verdict = Verdict(verifier="x", status=Status.OK, value=float("nan"), reason="match")
    export(read_tables(written(tmp_path, [sample("b", verdicts=[verdict])])), tmp_path / "out.jsonl", "chat")
    json.loads((tmp_path / "out.jsonl").read_text(), parse_constant=pytest.fail)
