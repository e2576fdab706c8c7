"""Votes on pairs in both orders, in the form that the score reads."""

import json
import re
from pathlib import Path

import pytest

from afterbase.eval.benchmarks.subject import find_subject
from afterbase.eval.judged.questions import Pair
from afterbase.eval.judged.reward_bench.files import read_accuracies
from afterbase.eval.judged.reward_bench.pair_verdicts import shows_chosen_first, votes
from chatting import chatting

PAIRS = [Pair(id=i, subset="hep-python", prompt=f"p{i}", chosen="right", rejected="wrong") for i in range(20)]


def voted(answer, k: int, tmp_path: Path) -> tuple[dict[str, float], list[str]]:
    with chatting("judge", answer) as server:
        subject = find_subject(server.url)
        rows = votes(subject, subject.open(tmp_path / "cache"), PAIRS, k=k, max_tokens=20, seed=0)
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [len(row["votes"]) for row in rows] == [k] * len(PAIRS)
    return read_accuracies(path, k)[0], server.prompts


def first(prompt: str) -> str:
    return re.findall(r"\[Answer of assistant A\]\n(.*?)\n", prompt)[0]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_judge_who_knows_is_always_right(tmp_path: Path, k: int) -> None:
    found, prompts = voted(lambda p: "so [[A]]" if first(p) == "right" else "so [[B]]", k, tmp_path)
    assert found == {"hep-python": 1.0}
    assert len(prompts) == k * len(PAIRS)


def test_a_judge_of_positions_is_even_when_it_votes_twice(tmp_path: Path) -> None:
    assert voted(lambda _: "[[A]]", 2, tmp_path)[0] == {"hep-python": 0.5}


def test_orders_change_from_vote_to_vote_and_from_pair_to_pair() -> None:
    assert {shows_chosen_first(PAIRS[0], vote) for vote in (0, 1)} == {True, False}
    assert 3 < sum(shows_chosen_first(pair, 0) for pair in PAIRS) < 17


def test_a_judge_that_says_neither_abstains(tmp_path: Path) -> None:
    assert voted(lambda _: "both are fine", 3, tmp_path)[0] == {"hep-python": 0.5}
