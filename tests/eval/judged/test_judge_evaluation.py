"""What one judge says is written down in the public forms and scored."""

import json
from pathlib import Path

import pytest

from afterbase.core.progress import Progress
from afterbase.eval.benchmarks.subject import find_subject
from afterbase.eval.judged.judge_evaluation import JudgeEvaluation, Model
from afterbase.eval.judged.judged_plan import Plan
from afterbase.eval.judged.questions import ArenaQuestion, Asked, Instruction, Pair
from afterbase.rollout.chat_model import Reply
from chatting import chatting


def response(text: str) -> Reply:
    return Reply(text=text, tokens=1)


MINE = Model(name="mine", arena=[response("good")], alpaca=[response("good"), response("same")])
BASE = Model(name="base", arena=[response("bad!")], alpaca=[])


def evaluation(url: str, folder: Path) -> JudgeEvaluation:
    asked = Asked(
        version="2.0",
        arena=[ArenaQuestion(uid="q", category="hard_prompt", prompt="?")],
        alpaca=[Instruction(instruction=name, output="same", generator="b") for name in ("one", "two")],
        pairs=[Pair(id=1, subset="hep-go", prompt="p", chosen="good", rejected="bad!")],
        controls_length=False,
    )
    plan = Plan(
        tasks=("reward-bench",), models=(), baseline=None, judges=("j",), data=folder, out=folder, limit=None,
        max_tokens=9, judge_tokens=9, votes=2,
    )  # fmt: skip
    judge = find_subject(url)
    return JudgeEvaluation(
        plan=plan, asked=asked, judge=judge, asking=judge.open(folder / "cache"), progress=Progress()
    )


def likes_good(prompt: str) -> str | dict[str, float]:
    if "model=" in prompt:
        return {"m": 0.0} if '"m">\ngood' in prompt else {"M": 0.0}
    first = "A]\ngood" in prompt
    return ("[[A>>B]]" if first else "[[B>>A]]") if "[[A>>B]]" in prompt else ("[[A]]" if first else "[[B]]")


def test_games_are_written_and_scored(tmp_path: Path) -> None:
    with chatting("judge", likes_good) as judge:
        at_work = evaluation(judge.url, tmp_path)
        fought = at_work.fight(MINE, BASE)
        assert [(b.shown_first, b.shown_second) for b in fought] == [(1.0, 1.0)]
        assert at_work.arena_score(MINE, fought)["score"] == 100
        itself = Model(name="judge", arena=MINE.arena, alpaca=[])
        assert at_work.arena_score(itself, fought)["score"] is None
    (row,) = map(json.loads, (tmp_path / "arena-hard/model_judgment/judge/mine.jsonl").read_text().splitlines())
    assert [game["score"] for game in row["games"]] == ["B>>A", "A>>B"]


def test_preferences_are_written_in_the_public_pair(tmp_path: Path) -> None:
    with chatting("judge", likes_good) as judge:
        scores = evaluation(judge.url, tmp_path).alpaca_score(MINE)
    assert scores == {"win_rate": 75.0, "standard_error": pytest.approx(25.0), "n_total": 2}
    folder = tmp_path / "alpaca-eval/judge/mine"
    assert [row["preference"] for row in json.loads((folder / "annotations.json").read_text())] == [2.0, 1.5]
    assert [row["output"] for row in json.loads((folder / "model_outputs.json").read_text())] == ["good", "same"]


def test_votes_are_written_and_people_agree(tmp_path: Path) -> None:
    with chatting("judge", likes_good) as judge:
        scores = evaluation(judge.url, tmp_path).reward_bench(2)
    assert (scores["sections"]["Reasoning"], scores["n"], scores["people"]["value"]) == (100, 1, 1)
    assert (tmp_path / "reward-bench/judge-k2.jsonl").is_file()
    with chatting("mute", lambda _: "hm") as mute:
        assert evaluation(mute.url, tmp_path).reward_bench(1)["people"] is None
