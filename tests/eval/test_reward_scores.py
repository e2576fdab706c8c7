"""A reward model on a user's file: the scores of `RewardModel.score`, counts of pairs by hand, odd rows named."""

import json
from pathlib import Path

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.core.sample import conversation
from afterbase.eval.reward_scores import score_file, summarise_pairs
from afterbase.reward.scalar import RewardModel, new_reward_model


@pytest.fixture
def reward_model(toy_lm) -> RewardModel:
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    return rm


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_answer_has_the_score_of_its_conversation(reward_model, tmp_path):
    rows = [{"prompt": "1+1?", "completion": "2"}, {"prompt": "Say a word", "completion": "word " * 9}]
    found = score_file(reward_model, written(tmp_path / "rows.jsonl", rows))
    expected = reward_model.score([conversation(row["prompt"], row["completion"]) for row in rows])
    assert [row["score"] for row in found.rows] == pytest.approx(expected, abs=1e-5)
    assert [row["row"] for row in found.rows] == ["rows.jsonl:line 1", "rows.jsonl:line 2"]
    assert found.pairs is None
    assert found.dropped == []


def test_pairs_have_both_scores_and_odd_rows_are_named(reward_model, tmp_path):
    turns = [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]
    rows = [
        {"prompt": [*turns, {"role": "user", "content": "And 2+2?"}], "chosen": "4", "rejected": "5 5 5 5 5"},
        {"prompt": "1+1?", "chosen": "2", "rejected": "2"},
        {"prompt": "1+1?", "chosen": "2", "rejected": "word " * 600},
    ]
    found = score_file(reward_model, written(tmp_path / "pairs.jsonl", rows))
    talks = [[*turns, *conversation("And 2+2?", answer)] for answer in ("4", "5 5 5 5 5")]
    [row] = found.rows
    assert [row["chosen"], row["rejected"]] == pytest.approx(reward_model.score(talks), abs=1e-5)
    assert row["margin"] == row["chosen"] - row["rejected"]
    assert set(row) == {"row", "chosen", "rejected", "margin", "tokens"}
    assert [dropped.row for dropped in found.dropped] == ["pairs.jsonl:line 2", "pairs.jsonl:line 3"]
    assert "equal" in found.dropped[0].rule
    assert "context" in found.dropped[1].rule
    assert found.pairs is not None
    assert found.pairs["pairs"] == 1


def test_a_new_model_has_ties_alone_and_no_accuracy(toy_lm, tmp_path):
    rows = [{"prompt": "1+1?", "chosen": "2", "rejected": str(n)} for n in range(3, 8)]
    found = score_file(new_reward_model(toy_lm), written(tmp_path / "pairs.jsonl", rows))
    assert found.pairs is not None
    assert (found.pairs["accuracy"], found.pairs["ties"], found.pairs["mean_margin"]) == (0.0, 5, 0.0)


def test_pairs_are_counted_by_length_and_by_the_longer_side():
    def row(margin: float, chosen: int, rejected: int) -> dict:
        return {"margin": margin, "tokens": max(chosen, rejected), "lengths": [chosen, rejected]}

    summary = summarise_pairs([row(1.0, 64, 10), row(-2.0, 65, 10), row(0.0, 10, 128), row(3.0, 129, 129)])
    assert (summary["accuracy"], summary["mean_margin"], summary["ties"]) == (0.5, 0.5, 1)
    by_tokens = summary["by_tokens"]
    assert {name: part["pairs"] for name, part in by_tokens.items()} == {"1-64": 1, "65-128": 2, "129-256": 1}
    assert {name: part["accuracy"] for name, part in summary["by_chosen"].items()} == {
        "longer": 0.5, "shorter": 0.0, "equal": 1.0,
    }  # fmt: skip
    assert list(by_tokens) == ["1-64", "65-128", "129-256"]


def test_a_file_of_which_no_row_can_be_read_is_told(reward_model, tmp_path):
    path = written(tmp_path / "pairs.jsonl", [{"prompt": "1+1?", "chosen": "2", "rejected": "word " * 600}])
    with pytest.raises(UserError, match="the model can read") as refused:
        score_file(reward_model, path)
    assert "line 1" in refused.value.got


def test_scores_that_are_no_numbers_are_told(reward_model, tmp_path):
    with torch.no_grad():
        reward_model.head.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="finite"):
        score_file(reward_model, written(tmp_path / "rows.jsonl", [{"prompt": "1+1?", "completion": "2"}]))
