"""A user's rows as artifacts: the same key wherever the files lie, and what stages read of them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import read_problems, read_samples
from afterbase.core.store import Store
from afterbase.data.own.own_rows import OwnRows
from afterbase.data.own.own_sets import make_labelled, make_pairs, make_prompts, make_samples
from afterbase.data.problems.prompt_hash import prompt_hash
from afterbase.data.problems.test_share import for_tests

USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"type": "function", "function": {"name": "now", "arguments": {}}}


def own(path: Path, rows: list, **settings) -> OwnRows:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return OwnRows(files=(str(path),), **settings)


def about(artifact) -> dict:
    return json.loads((artifact.payload / "data.json").read_text())


def test_samples_hold_what_the_rows_say(tmp_path):
    called = {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}], "tools": [{"type": "function"}]}
    rows = [
        {"messages": [USER, ANSWER, USER, ANSWER], "license": "CC0", "id": 7, "topic": "x"},
        called,
        {"messages": []},
    ]
    made = make_samples(Store(tmp_path / "s"), "mine", own(tmp_path / "r.jsonl", rows, trained="last"), seed=0)
    first, second = read_samples(made.payload / "samples.parquet")
    assert (first.domain, first.kind, first.untrained) == ("mine", "own", [1])
    assert first.extra == {"license": "CC0", "source_id": 7, "untrained": [1], "row": "r.jsonl:line 1"}
    assert second.turns()[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert second.tools == [{"type": "function", "function": {"type": "function"}}]
    dropped = [json.loads(line) for line in (made.payload / "dropped.jsonl").read_text().splitlines()]
    assert dropped == [{"row": "r.jsonl:line 3", "rule": "`messages` has no turns"}]
    found = about(made)
    assert (found["form"], found["rows"], found["dropped"], found["unused"]) == ("chat", 3, 1, ["topic"])
    assert len(found["digests"]) == 1


def test_texts_are_samples_of_one_turn(tmp_path):
    made = make_samples(Store(tmp_path / "s"), "mine", own(tmp_path / "r.jsonl", [{"text": "abc"}]), seed=0)
    [sample] = read_samples(made.payload / "samples.parquet")
    assert list(sample.messages) == [{"role": "text", "content": "abc"}]
    assert about(made)["form"] == "text"


def test_the_key_is_of_the_content_the_weights_and_the_settings(tmp_path):
    store, rows = Store(tmp_path / "s"), [{"messages": [USER, ANSWER]}, {"messages": [USER, ANSWER, USER, ANSWER]}]
    made = make_samples(store, "mine", own(tmp_path / "r.jsonl", rows), seed=0)
    moved = make_samples(store, "mine", own(tmp_path / "elsewhere" / "q.jsonl", rows), seed=0)
    assert made.key == moved.key
    others = [
        make_samples(store, "mine", own(tmp_path / "r.jsonl", rows), seed=1),
        make_samples(store, "yours", own(tmp_path / "r.jsonl", rows), seed=0),
        make_samples(store, "mine", own(tmp_path / "r.jsonl", rows, trained="last"), seed=0),
        make_samples(store, "mine", OwnRows(files=(f"{tmp_path / 'r.jsonl'}=0.5",)), seed=0),
        make_samples(store, "mine", own(tmp_path / "r.jsonl", rows[:1]), seed=0),
    ]
    assert len({made.key, *(other.key for other in others)}) == 6


def test_pairs_hold_the_prompt_and_both_answers(tmp_path):
    turns = [SYSTEM, USER]
    rows = [
        {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 2},
        {"prompt": turns, "chosen": "b", "rejected": "c"},
        {"prompt": "a", "chosen": "b", "rejected": "b"},
    ]
    made = make_pairs(Store(tmp_path / "s"), "mine", own(tmp_path / "r.jsonl", rows), seed=0)
    first, second = pq.read_table(made.payload / "pairs.parquet").to_pylist()
    beside = {"chosen": "b", "rejected": "c", "source": "own"}
    assert first == {"prompt": "a", "messages": None, **beside, "margin": 2.0, "row": "r.jsonl:line 1"}
    assert second == {**first, "prompt": second["messages"], "messages": second["messages"], "margin": None} | {
        "row": "r.jsonl:line 2"
    }
    assert json.loads(second["messages"]) == turns
    assert about(made)["dropped"] == 1


def test_judged_answers_hold_their_label(tmp_path):
    rows = [
        {"prompt": "a", "completion": "b", "label": True},
        {"prompt": [SYSTEM, USER], "completion": "c", "label": 0},
    ]
    made = make_labelled(Store(tmp_path / "s"), "mine", own(tmp_path / "r.jsonl", rows), seed=0)
    first, second = pq.read_table(made.payload / "answers.parquet").to_pylist()
    assert first == {"prompt": "a", "messages": None, "response": "b", "label": True, "row": "r.jsonl:line 1"}
    assert (json.loads(second["messages"]), second["label"]) == ([SYSTEM, USER], False)


def test_prompts_are_problems_each_once_apart_by_their_hash(tmp_path):
    rows = [{"prompt": f"What is {n}?", "level": n} for n in range(40)]
    rows += [{"prompt": " what is 7?", "level": 7}, {"prompt": [SYSTEM, USER], "level": None}]
    made = make_prompts(Store(tmp_path / "s"), "mine", own(tmp_path / "r.jsonl", rows), seed=0)
    train, test = (read_problems(made.payload / f"{split}.parquet") for split in ("train", "test"))
    assert len(train) + len(test) == 41
    assert {for_tests(prompt_hash(p.prompt)) for p in test} == {True}
    assert {for_tests(prompt_hash(p.prompt)) for p in train} == {False}
    by_level = {p.spec["row"].get("level"): p for p in [*train, *test]}
    assert by_level[3].spec == {"row": rows[3]}
    assert (by_level[3].verifier, by_level[3].gold, by_level[3].domain) == ("none", None, "mine")
    assert by_level[None].spec["messages"] == [SYSTEM, USER]
    dropped = [json.loads(line) for line in (made.payload / "dropped.jsonl").read_text().splitlines()]
    assert dropped == [{"row": "r.jsonl:line 41", "rule": "duplicate"}]


def test_prompts_that_are_all_kept_for_tests_are_told(tmp_path):
    prompt = next(f"What is {n}?" for n in range(99) if for_tests(prompt_hash(f"What is {n}?")))
    with pytest.raises(UserError, match="kept for tests"):
        make_prompts(Store(tmp_path / "s"), "mine", own(tmp_path / "r.jsonl", [{"prompt": prompt}]), seed=0)
