"""Rows of every form as samples, and samples as rows of their forms again."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.data.formats.conversations import Conversation
from afterbase.data.formats.read import read_tables
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.own_samples import unfolded
from afterbase.data.own.own_sets import read_labelled_of, read_pairs_of, read_prompts_of, read_samples_of
from afterbase.data.own.row_forms import form_of
from afterbase.data.own.row_turns import Labelled, Preference

USER, ANSWER = {"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}
CHAT = [USER, {**ANSWER, "weight": 0}, USER, ANSWER]
FORMS = {
    "chat": {"messages": CHAT},
    "sharegpt": {"conversation": [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]},
    "alpaca": {"instruction": "1 + 1?", "input": "", "output": "2"},
    "prompt_completion": {"prompt": [USER, ANSWER, USER], "completion": "2"},
    "text": {"text": "One and one."},
    "preferences": {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "margin": 2},
    "labelled": {"prompt": "1 + 1?", "completion": "2", "kto_tag": False},
    "prompts": {"question": "1 + 1?"},
}


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_samples(tmp_path, *rows) -> str:
    """A file of samples, as `afterbase data clean` leaves it."""
    table = pa.concat_tables(read_tables(written(tmp_path, *rows)))
    pq.write_table(table, tmp_path / "samples.parquet")
    return str(tmp_path / "samples.parquet")


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_form_are_samples_and_what_nobody_reads_stays_beside_them(tmp_path, form):
    assert form_of(FORMS[form]) == form
    path = written(tmp_path, {**FORMS[form], "topic": "sums", "license": "MIT"})
    (sample,) = pa.concat_tables(read_tables(path)).to_pylist()
    assert sample["dropped"] is None
    assert sample["messages"][0] == (USER if form != "text" else {"role": "text", "content": "One and one."})
    assert {"topic": "sums", "license": "MIT"}.items() <= json.loads(sample["extra"]).items()
    assert not {"prompt", "completion", "output", "question"} & set(json.loads(sample["extra"]))
    assert sample["kind"] == ("prompt" if form == "prompts" else "imported")


def test_samples_are_read_as_the_rows_that_they_were(tmp_path):
    def read(reader, form):
        rows = OwnRows(files=(as_samples(tmp_path, FORMS[form]),))
        (kept,) = reader(rows, seed=0).kept
        return kept.said

    def conversation(form):
        said = read(read_samples_of, form)
        assert isinstance(said, Conversation)
        return said

    assert conversation("chat").untrained == [1]
    assert conversation("alpaca").messages == [USER, ANSWER]
    assert conversation("prompt_completion").untrained == [1]
    assert read(read_samples_of, "text") == "One and one."
    assert read(read_pairs_of, "preferences") == Preference([USER], "2", "3", 2.0)
    assert read(read_labelled_of, "labelled") == Labelled([USER], "2", False)
    assert read(read_prompts_of, "prompts") == [USER]


def test_tools_and_their_calls_come_back(tmp_path):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    tools = [{"type": "function", "function": {"name": "add"}}]
    row = {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [call]}], "tools": tools}
    (kept,) = read_samples_of(OwnRows(files=(as_samples(tmp_path, row),)), seed=0).kept
    assert isinstance(kept.said, Conversation)
    assert kept.said.tools == tools
    assert kept.said.others["1"]["tool_calls"] == [call]


def test_what_is_odd_of_one_row_drops_it_there_and_what_was_dropped_is_not_trained_on(tmp_path):
    equal = {**FORMS["preferences"], "rejected": "2"}
    path = as_samples(tmp_path, FORMS["preferences"], equal)
    assert pq.read_table(path)["dropped"].to_pylist() == [
        None, {"stage": "read", "rule": "`chosen` and `rejected` are equal", "score": None},
    ]  # fmt: skip
    reading = read_pairs_of(OwnRows(files=(path,)), seed=0)
    assert len(reading.kept) == 1
    assert [row.rule for row in reading.dropped] == ["dropped before, by read: `chosen` and `rejected` are equal"]


def test_what_is_wrong_with_a_file_is_told_with_the_row(tmp_path):
    with pytest.raises(UserError, match="true or false") as caught:
        list(read_tables(written(tmp_path, FORMS["labelled"], {**FORMS["labelled"], "kto_tag": "good"})))
    assert caught.value.got.startswith("line 2 of ")
    with pytest.raises(UserError, match="one of the forms") as caught:
        list(read_tables(written(tmp_path, {"a": 1})))
    assert "line 1" in caught.value.got


def test_rows_of_others_are_left_as_they_are():
    row = {"messages": CHAT, "extra": {"label": True}}
    assert unfolded(row) == row
