"""Votes and accuracies from their files: what would shift a score is refused, what is missing is told."""

import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.judged.reward_bench.files import read_accuracies, read_metrics
from afterbase.eval.judged.reward_bench.score import SIZES


def _file(path: Path, *pairs: tuple[str, int, str | list[str | None]]) -> Path:
    """Pairs of a subset, an id, and the letters voted for; the chosen answer is A."""
    rows = [
        {
            "subset": subset,
            "id": i,
            "votes": [{"judgement": vote and f"[[{vote}]]", "chosen_shown_as": "A"} for vote in letters],
        }
        for subset, i, letters in pairs
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_first_votes_count(tmp_path: Path) -> None:
    path = _file(tmp_path / "votes.jsonl", ("donotanswer", 0, "ABB"), ("donotanswer", 1, "BAA"), ("hep-go", 0, "CAA"))
    assert read_accuracies(path, 1)[0] == {"donotanswer": 0.5, "hep-go": 0.5}
    assert read_accuracies(path, 2)[0] == {"donotanswer": 0.5, "hep-go": 1}
    accuracies, notes = read_accuracies(path, None)
    assert accuracies == {"donotanswer": 0.5, "hep-go": 1}
    assert notes[:2] == ["donotanswer: 2 of 136 pairs", "hep-go: 1 of 164 pairs"]
    assert notes[2] == "Chat has no subset and counts 0"
    assert notes[4].startswith("Safety is without refusals-dangerous, ")


def test_a_reply_that_is_null_abstains(tmp_path: Path) -> None:
    path = _file(tmp_path / "votes.jsonl", ("hep-go", 0, [None, "A"]), ("hep-go", 1, [None, None]))
    assert read_accuracies(path, 2)[0] == {"hep-go": 0.75}


@pytest.mark.parametrize(
    ("pairs", "k", "rule"),
    [
        ([("hep-go", 0, "A")] * 2, 1, "judged twice"),
        ([("hep-go", 0, "A"), ("hep-gopher", 0, "A")], 1, "are RewardBench's"),
        ([("hep-go", 0, "AA"), ("hep-go", 1, "A")], 2, "each pair has 2 votes"),
        ([("hep-go", 0, "AA"), ("hep-go", 1, "A")], None, "as many votes as each other"),
        ([("hep-go", 0, "A")], 0, "one vote or more"),
        ([("hep-go", 0, "")], None, "one vote or more"),
        ([], 1, "at least one"),
    ],
)
def test_votes_that_would_shift_a_score_are_refused(tmp_path: Path, pairs, k: int | None, rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        read_accuracies(_file(tmp_path / "votes.jsonl", *pairs), k)


def test_an_answer_is_shown_as_a_or_b(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    path.write_text('{"subset": "hep-go", "id": 0, "votes": [{"judgement": "[[A]]", "chosen_shown_as": "C"}]}')
    with pytest.raises(UserError, match="a row has subset, id, votes"):
        read_accuracies(path, 1)


def test_cases_of_accuracies(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    whole = dict.fromkeys(SIZES, 0.5)
    path.write_text(json.dumps([{"name": "x", "metrics": whole}, {"metrics": {"hep-go": 1}}]))
    first, second = read_metrics(path)
    assert first == (whole, [])
    assert second[0] == {"hep-go": 1}
    assert second[1][0] == "case 2: Chat has no subset and counts 0"
    for metrics, rule in (
        ({"hep-gopher": 1}, "are RewardBench's"),
        ({"hep-go": 50}, r"lies in \[0, 1\]"),
        ({"hep-go": float("nan")}, r"lies in \[0, 1\]"),
        ({"hep-go": None}, "a row has metrics"),
        ({}, "a row has metrics"),
    ):
        path.write_text(json.dumps([{"metrics": metrics}]))
        with pytest.raises(UserError, match=rule):
            read_metrics(path)
