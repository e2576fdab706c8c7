"""Both orders are asked, labels are read by each version's rule, and calibration sees the contestant's side."""

import re

import pytest

from afterbase.eval.benchmarks.subject import find_subject
from afterbase.eval.judged.arena_hard.battles import battle_of, judge, prompt_of, row_of
from afterbase.eval.judged.arena_hard.score import Version
from afterbase.eval.judged.questions import ArenaQuestion
from afterbase.rollout.chat_model import Reply
from chatting import chatting

QUESTION = ArenaQuestion(uid="q1", prompt="What is up?", subcategory="qa")  # type: ignore[call-arg]
POEM = ArenaQuestion(uid="q2", prompt="A poem.", category="creative_writing")


def response(text: str) -> Reply:
    return Reply(text=text, tokens=1)


def games_of(answer, *, version: Version = "2.0", ours: str = "good", theirs: str = "bad!"):
    with chatting("judge", answer) as server:
        subject = find_subject(server.url)
        (games,) = judge(
            subject,
            subject.open(None),  # type: ignore[arg-type]
            [QUESTION],
            contestant=[response(ours)],
            baseline=[response(theirs)],
            version=version,
            max_tokens=50,
        )
    return games, server.prompts


def shown_first(prompt: str) -> str:
    return re.findall(r"\[Answer of assistant A\]\n(.*?)\n", prompt)[0]


def test_the_baseline_is_a_in_the_first_game_and_b_in_the_second() -> None:
    games, prompts = games_of(lambda prompt: "so [[A>>B]]" if shown_first(prompt) == "good" else "so [[B>A]]")
    assert sorted(map(shown_first, prompts)) == ["bad!", "good"]
    assert [game["score"] for game in games] == ["B>A", "A>>B"]
    battle = battle_of(QUESTION, games, contestant=response("good"), baseline=response("bad!"), version="2.0")
    assert (battle.shown_first, battle.shown_second, battle.longer, battle.task) == (1.0, 1.0, 0, "qa")


def test_a_judge_of_positions_is_seen_as_one() -> None:
    games, _ = games_of(lambda _: "[[A>B]]")
    battle = battle_of(QUESTION, games, contestant=response("good"), baseline=response("bad!"), version="2.0")
    assert (battle.shown_first, battle.shown_second) == (1.0, 0.0)


def test_in_version_01_a_judge_without_a_label_is_asked_once_more() -> None:
    games, prompts = games_of(lambda p: "[[A=B]]" if "judgement so far" in p else "I am thinking.", version="0.1")
    assert [game["score"] for game in games] == ["A=B", "A=B"]
    assert len(prompts) == 4
    games, prompts = games_of(lambda _: "I am thinking.", version="2.0")
    assert [game["score"] for game in games] == [None, None]
    assert len(prompts) == 2


def test_creative_writing_has_no_answer_of_the_judges_own() -> None:
    assert "answer of your own" in prompt_of(QUESTION, "x", "y")
    assert "answer of your own" not in prompt_of(POEM, "x", "y")


@pytest.mark.parametrize("label", ["A>>A", None])
def test_unknown_labels_are_no_verdict(label) -> None:
    games = [{"score": label, "judgment": ""}, {"score": "A>B", "judgment": ""}]
    battle = battle_of(QUESTION, games, contestant=response("a"), baseline=response("b"), version="2.0")
    assert (battle.shown_first, battle.shown_second, battle.preference) == (1.0, None, None)


def test_rows_have_the_public_form() -> None:
    row = row_of(POEM, [{"score": "A=B"}] * 2, judge="j", model="m", baseline="b")
    assert (row["uid"], row["category"], row["judge"], row["model"], row["baseline"]) == (
        "q2", "creative_writing", "j", "m", "b",
    )  # fmt: skip
