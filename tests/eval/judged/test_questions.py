"""The published forms are read; what is missing, twice or of two baselines is told."""

import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.judged.questions import (
    alpaca_instructions,
    arena_questions,
    arena_version,
    reward_pairs,
)


def lines(path: Path, *rows: dict) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_both_versions_of_arena_hard_are_read(tmp_path: Path) -> None:
    turns = [{"content": "Write a sort."}]
    lines(tmp_path / "arena_hard_v0.1.jsonl", {"question_id": "a", "cluster": "Sorting", "turns": turns})
    assert arena_version(tmp_path) == "0.1"
    (old,) = arena_questions(tmp_path, "0.1")
    assert (old.uid, old.kind, old.prompt) == ("a", "Sorting", "Write a sort.")
    lines(tmp_path / "arena_hard_v2.0.jsonl", {"uid": "b", "category": "creative_writing", "prompt": "A poem."})
    assert arena_version(tmp_path) == "2.0"
    (new,) = arena_questions(tmp_path, "2.0")
    assert (new.uid, new.category, new.kind) == ("b", "creative_writing", "creative_writing")


def test_instructions_and_pairs_are_read(tmp_path: Path) -> None:
    row = {"instruction": "Hi", "output": "Hello", "generator": "base", "dataset": "helpful_base"}
    (tmp_path / "alpaca_eval.json").write_text(json.dumps([row]))
    assert alpaca_instructions(tmp_path)[0].output == "Hello"
    pair = {"id": 1, "subset": "hep-python", "prompt": "p", "chosen": "c", "rejected": "r", "chosen_model": "x"}
    lines(tmp_path / "reward_bench.jsonl", pair, {**pair, "subset": "hep-go"})
    assert [p.subset for p in reward_pairs(tmp_path)] == ["hep-python", "hep-go"]


def test_what_would_shift_a_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="finds its file") as raised:
        arena_version(tmp_path)
    assert "lmarena/arena-hard-auto" in raised.value.remedy
    row = {"uid": "b", "prompt": "x"}
    lines(tmp_path / "arena_hard_v2.0.jsonl", row, row)
    with pytest.raises(UserError, match="asked once"):
        arena_questions(tmp_path, "2.0")
    outputs = [{"instruction": str(i), "output": "o", "generator": f"model {i}"} for i in range(2)]
    (tmp_path / "alpaca_eval.json").write_text(json.dumps(outputs))
    with pytest.raises(UserError, match="of one model"):
        alpaca_instructions(tmp_path)
