"""Files of a user's rows: every kind of file, every fault with its place, weights, limits, rows in memory."""

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.store import Store
from afterbase.data.formats.conversations import Conversation
from afterbase.data.own.own_rows import OwnRows, Reading, digests
from afterbase.data.own.own_sets import read_labelled_of, read_pairs_of, read_prompts_of, read_samples_of
from afterbase.data.own.row_forms import KNOWN

USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
PLAIN = {"messages": [USER, ANSWER]}
PAIR = {"prompt": "a", "completion": "b"}


def jsonl(path: Path, rows: list) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def pairs_in(folder: Path, name: str, rows: list[dict[str, str]]) -> str:
    """Rows of texts in the form that the name asks for."""
    path, text = folder / name, "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".arrow"):
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    elif name.endswith(".csv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\r")
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    elif "." in name:
        packed = {".gz": gzip.compress, ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True)}
        path.write_bytes(packed.get(path.suffix, bytes)(text))
    else:
        datasets = pytest.importorskip("datasets")
        both = {"train": datasets.Dataset.from_list(rows), "test": datasets.Dataset.from_list(rows[:1])}
        datasets.DatasetDict(both).save_to_disk(path)
    return str(path)


def asked(*files: str, **settings) -> Reading:
    return read_samples_of(OwnRows(files=files, **settings), seed=0)


def refusal(*files: str, read=read_samples_of, **settings) -> UserError:
    with pytest.raises(UserError) as raised:
        read(OwnRows(files=files, **settings), seed=0)
    return raised.value


@pytest.mark.parametrize(
    "name", ["r.jsonl", "r.jsonl.gz", "r.jsonl.zst", "r.json", "r.csv", "r.parquet", "r.arrow", "folder"]
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name):
    rows = [{"prompt": f'{n}, "{n}"\n?', "completion": f"ü{n}"} for n in range(5)]
    reading = asked(pairs_in(tmp_path, name, rows))
    assert [kept.row for kept in reading.kept] == rows
    assert (reading.form, reading.rows, reading.dropped) == ("prompt_completion", 5, [])


def test_nulls_of_arrow_structs_are_not_there(tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x": null}'}}
    turns = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "1"},
        ANSWER,
    ]
    tools = [{"type": "function", "function": {"name": n, "parameters": {"properties": {n: {"a": 1}}}}} for n in "fg"]
    pq.write_table(pa.Table.from_pylist([{"messages": turns, "tools": tools}]), tmp_path / "r.parquet")
    assert asked(str(tmp_path / "r.parquet")).kept[0].said.extra() == {
        "turns": {"1": {"tool_calls": [call]}}, "tools": tools,
    }  # fmt: skip


def test_odd_rows_are_left_out_with_their_place_and_reason(tmp_path):
    odd = [
        {"messages": [USER]},
        {"messages": [ANSWER]},
        {"messages": None},
        {"messages": [None]},
        {"messages": [USER, {"role": "assistant", "content": None}]},
    ]
    reading = asked(jsonl(tmp_path / "r.jsonl", [PLAIN, *odd, PLAIN]))
    assert [kept.place for kept in reading.kept] == ["r.jsonl:line 1", "r.jsonl:line 7"]
    assert reading.dropped == [
        ("r.jsonl:line 2", "the conversation has no answer"),
        ("r.jsonl:line 3", "the conversation begins with an answer"),
        ("r.jsonl:line 4", "`messages` is null"),
        ("r.jsonl:line 5", "turn 0 is no object"),
        ("r.jsonl:line 6", "turn 1 holds null and no text: role and text are both strings"),
    ]
    (tmp_path / "s.jsonl").write_text(json.dumps(PLAIN) + '\n{"messages": [{"role": "user", "content": "\\ud800"}]}\n')
    assert asked(str(tmp_path / "s.jsonl")).dropped == [("s.jsonl:line 2", "half a character (a lone surrogate)")]


def test_rows_in_memory_are_told_as_such_and_nan_is_none(tmp_path):
    store = Store(tmp_path / "store")
    rows = [{"prompt": "a", "completion": "b", "system": float("nan")}, {"prompt": "a", "completion": float("nan")}]
    reading = read_samples_of(OwnRows.of(rows, store=store), seed=0)
    assert [kept.said.messages for kept in reading.kept if isinstance(kept.said, Conversation)] == [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    ]
    assert [row.rule for row in reading.dropped] == ["`completion` is null"]
    with pytest.raises(UserError, match="a label is true or false") as caught:
        read_labelled_of(OwnRows.of([{**PLAIN, "label": "good"}], store=store), seed=0)
    assert caught.value.got.startswith("line 1 of the rows in memory: ")


def test_columns_of_a_row_with_half_a_character_are_not_told(tmp_path):
    (tmp_path / "r.jsonl").write_text(
        '{"prompt": "a", "completion": "b", "\\ud800": 1}\n' + json.dumps(PAIR | {"c": 1})
    )
    assert list(asked(str(tmp_path / "r.jsonl")).unused) == ["c"]


def test_where_labels_are_wanted_conversations_have_them_too(tmp_path):
    rows = [{**PLAIN, "label": True}, {**PLAIN, "label": None}, {**PLAIN, "label": False}]
    reading = read_labelled_of(OwnRows(files=(jsonl(tmp_path / "r.jsonl", rows),)), seed=0)
    assert [kept.said.label for kept in reading.kept] == [True, False]
    assert reading.dropped == [("r.jsonl:line 2", "`label` is null")]
    assert (reading.form, list(reading.unused)) == ("labelled", [])


@pytest.mark.parametrize(
    ("rows", "got", "remedy"),
    [
        ([], "none in ", "another file"),
        ([{"mesages": [USER, ANSWER]}], "`mesages` among the columns mesages in line 1 of ", "`messages`"),
        ([{"prompt": "a", "complation": "b"}], "`complation` among the columns", "`completion`"),
        ([{"instruction": "a", "inptu": "1", "output": "b"}], "`inptu` among the columns", "`input`"),
        ([PLAIN, {"mesages": [USER]}], "line 2 of ", "`messages`"),
        ([PLAIN, {"prompt": "a", "completion": "b"}], "line 2 of ", "a file of their own"),
        ([PLAIN, PLAIN, {"chosen": "a", "rejected": "b"}], "line 3 of ", "a file of their own"),
        ([PLAIN, {}], "line 2 of ", "a file of their own"),
        ([{"prompt": "a"}], "prompts rows, columns prompt in line 1 of ", "map its columns"),
        ([{"rating": 5}], "columns rating in line 1 of ", "map its columns"),
        ([PLAIN, {"messages": [USER, {"role": "bot", "content": "b"}]}], "line 2 of ", "one of these roles"),
        (
            [{"messages": [USER]}],
            "1 rows, all of them left out; the first, r.jsonl:line 1: the conv",
            "correct the rows",
        ),
    ],
)
def test_what_is_wrong_with_a_file_ends_the_reading(tmp_path, rows, got, remedy):
    error = refusal(jsonl(tmp_path / "r.jsonl", rows))
    assert got in error.got
    assert "r.jsonl" in error.got
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("name", "content", "got"),
    [
        ("r.jsonl", b'{"messages": "\xff"}\n', "line 1 of "),
        ("r.jsonl", json.dumps(PLAIN).encode() + b'\n{"messages": \n', "line 2 of "),
        ("r.csv", b"prompt,completion\na,b,c\n", "line 2 of "),
        ("r.parquet", b"no parquet", "r.parquet"),
        ("r.txt", b"hello", "r.txt"),
    ],
)
def test_what_is_no_file_of_rows_is_told(tmp_path, name, content, got):
    (tmp_path / name).write_bytes(content)
    assert got in refusal(str(tmp_path / name)).got


def test_labels_margins_and_answers_of_the_wrong_form_are_told(tmp_path):
    rows = [{"prompt": "a", "completion": "b", "label": label} for label in (True, "true")]
    error = refusal(jsonl(tmp_path / "l.jsonl", rows), read=read_labelled_of)
    assert error.got.startswith("line 2 of ")
    assert '`label` is "true"' in error.got
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    error = refusal(jsonl(tmp_path / "p.jsonl", [pair, {**pair, "margin": "2"}]), read=read_pairs_of)
    assert error.got.startswith("line 2 of ")
    equal = {**pair, "rejected": "b"}
    assert "are equal" in refusal(jsonl(tmp_path / "p.jsonl", [equal]), read=read_pairs_of).got
    reading = read_pairs_of(OwnRows(files=(jsonl(tmp_path / "p.jsonl", [pair, equal]),)), seed=0)
    assert reading.dropped == [("p.jsonl:line 2", "`chosen` and `rejected` are equal")]
    assert "preferences rows" in refusal(jsonl(tmp_path / "p.jsonl", [pair])).got


def test_a_csv_holds_labels_and_margins_as_texts_and_nothing_as_null(tmp_path):
    (tmp_path / "l.csv").write_text("prompt,completion,label\na,b,True\na,c,0\na,d,\n")
    reading = read_labelled_of(OwnRows(files=(str(tmp_path / "l.csv"),)), seed=0)
    assert [kept.said.label for kept in reading.kept] == [True, False]
    assert reading.dropped == [("l.csv:line 4", "`label` is null")]
    (tmp_path / "p.csv").write_text("prompt,chosen,rejected,margin\na,b,c,1.5\na,b,c,\n")
    reading = read_pairs_of(OwnRows(files=(str(tmp_path / "p.csv"),)), seed=0)
    assert [kept.said.margin for kept in reading.kept] == [1.5, None]


def test_a_column_that_is_null_at_first_counts(tmp_path):
    rows = [{"prompt": "a", "completion": "b", "label": None}, {"prompt": "a", "completion": "b", "label": True}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "l.parquet")
    reading = read_labelled_of(OwnRows(files=(str(tmp_path / "l.parquet"),)), seed=0)
    assert (len(reading.kept), reading.dropped) == (1, [("l.parquet:row 1", "`label` is null")])


def test_a_form_can_be_named(tmp_path):
    path = jsonl(tmp_path / "r.jsonl", [{"prompt": "a", "completion": "b", "label": "good"}])
    assert "labelled rows" in refusal(path).got
    assert asked(path, form="prompt_completion").form == "prompt_completion"
    assert "rating" not in asked(path, form="prompt_completion").unused
    assert "columns prompt, completion, label" in refusal(path, form="text").got


def test_columns_can_be_renamed(tmp_path):
    path = jsonl(tmp_path / "r.jsonl", [{"frage": "a", "antwort": "b", "thema": "c"}])
    reading = asked(path, columns={"frage": "prompt", "antwort": "completion"})
    assert reading.kept[0].said.messages == [USER, ANSWER]
    assert list(reading.unused) == ["thema"]
    assert "no `fragen` among frage" in refusal(path, columns={"fragen": "prompt"}).got
    with pytest.raises(ValidationError, match="a name that is known"):
        OwnRows(files=(path,), columns={"frage": "promt"})
    both = jsonl(tmp_path / "b.jsonl", [{"prompt": "a", "completion": "b", "response": "c"}])
    assert "both as `completion`" in refusal(both, columns={"response": "completion"}).got


def test_several_files_patterns_and_weights(tmp_path):
    numbered = [{"prompt": str(n), "completion": "b"} for n in range(10)]
    one, other = jsonl(tmp_path / "x1.jsonl", numbered), jsonl(tmp_path / "x2.jsonl", [PLAIN] * 4)
    reading = asked(str(tmp_path / "x*.jsonl"))
    assert (len(reading.kept), reading.form) == (14, "prompt_completion+chat")
    assert len(asked(f"{one}=0.5", other).kept) == 9
    half = [kept.place for kept in asked(f"{one}=0.5").kept]
    assert (
        half == [kept.place for kept in asked(f"{one}=0.5").kept] == sorted(set(half), key=lambda p: int(p.split()[1]))
    )
    assert half != [kept.place for kept in read_samples_of(OwnRows(files=(f"{one}=0.5",)), seed=1).kept]
    places = [kept.place for kept in asked(f"{one}=2.3").kept]
    assert len(places) == 23
    assert min(places.count(place) for place in set(places)) == 2
    (tmp_path / "with=5").mkdir()
    assert asked(jsonl(tmp_path / "with=5" / "r.jsonl", [PLAIN])).rows == 1


@pytest.mark.parametrize("weight", ["half", "", "0", "-1", "nan", "inf"])
def test_a_weight_that_is_no_share_is_told(tmp_path, weight):
    path = jsonl(tmp_path / "r.jsonl", [PLAIN])
    assert f"`{weight}` in `{path}={weight}`" in refusal(f"{path}={weight}").got


@given(count=st.integers(1, 20), weight=st.floats(0.01, 5))
@settings(max_examples=25)
def test_a_weight_is_the_share_of_the_rows(tmp_path_factory, count: int, weight: float):
    path = jsonl(tmp_path_factory.mktemp("w") / "r.jsonl", [PLAIN] * count)
    expected = int(weight) * count + round((weight - int(weight)) * count)
    if expected:
        assert len(asked(f"{path}={weight}").kept) == expected
    else:
        assert (
            "1 that is used" in refusal(f"{path}={weight}").rule
            or "none of them used" in refusal(f"{path}={weight}").got
        )


def test_a_limit_is_of_the_rows_that_are_kept(tmp_path):
    one = jsonl(tmp_path / "a.jsonl", [{"messages": [USER]}, *[PLAIN] * 3])
    other = jsonl(tmp_path / "b.jsonl", [PLAIN] * 3)
    assert [kept.place for kept in asked(one, other, limit=4).kept][2:] == ["a.jsonl:line 4", "b.jsonl:line 1"]
    assert len(asked(f"{one}=2", other, limit=4).kept) == 4
    assert asked(one, limit=1).rows == 2


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder in ("x/deep", "y/deep"):
        (tmp_path / folder).mkdir(parents=True)
    files = [jsonl(tmp_path / f"{folder}/deep/r.jsonl", [PLAIN]) for folder in "xy"]
    assert [kept.place for kept in asked(*files).kept] == ["x/deep/r.jsonl:line 1", "y/deep/r.jsonl:line 1"]


def test_a_pattern_a_folder_and_a_split_that_are_not_there_are_told(tmp_path):
    assert "none matches" in refusal(str(tmp_path / "*.jsonl")).got
    folder = pairs_in(tmp_path, "folder", [{"prompt": "a", "completion": "b"}] * 2)
    assert asked(folder, split="test").rows == 1
    assert "no `validation`: test, train in" in refusal(folder, split="validation").got


def test_rows_in_memory_are_a_file_that_their_content_names(tmp_path):
    store = Store(tmp_path / "store")
    own = OwnRows.of([PLAIN, PLAIN], store=store, trained="last")
    assert own == OwnRows.of([PLAIN, PLAIN], store=store, trained="last") != OwnRows.of([PLAIN], store=store)
    assert read_samples_of(own, seed=0).rows == 2
    datasets = pytest.importorskip("datasets")
    same = OwnRows.of(datasets.Dataset.from_list([PLAIN, PLAIN]), store=store, trained="last")
    assert digests(same) == digests(own)
    with pytest.raises(UserError, match="row 1: a object"):
        OwnRows.of([{"messages": object()}], store=store)


def test_a_file_alone_or_a_list_of_files_will_do():
    assert OwnRows(files="a.jsonl").files == ("a.jsonl",)  # pyright: ignore[reportArgumentType]
    assert OwnRows(files=["a.jsonl"]).files == ("a.jsonl",)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValidationError):
        OwnRows(files=())


def test_prompts_come_of_any_form_but_texts(tmp_path):
    path = jsonl(tmp_path / "r.jsonl", [PLAIN])
    assert read_prompts_of(OwnRows(files=(path,)), seed=0).kept[0].said == [USER]
    assert "text rows" in refusal(jsonl(tmp_path / "t.jsonl", [{"text": "a"}]), read=read_prompts_of).got


plain_values = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | st.text(max_size=5)
keys_of_turns = st.sampled_from(["role", "content", "from", "value", "tool_calls", "weight"])
json_values = st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys_of_turns, inner, max_size=3),
    max_leaves=6,
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "function_call", "x"]), "content": json_values}
)
cells = json_values | st.lists(turns, max_size=3) | st.lists(turns, max_size=2).map(json.dumps)
names = sorted({*KNOWN, "unknown"})


@given(rows=st.lists(st.dictionaries(st.sampled_from(names), cells, max_size=5), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_whatever_rows_hold_they_are_read_left_out_or_refused_in_words(tmp_path_factory, rows):
    path = jsonl(tmp_path_factory.mktemp("any") / "r.jsonl", rows)
    for read in (read_samples_of, read_pairs_of, read_labelled_of, read_prompts_of):
        try:
            reading = read(OwnRows(files=(path,)), seed=0)
        except UserError:  # any other error fails the test
            continue
        assert len(reading.kept) + len(reading.dropped) == reading.rows == len(rows)
