"""A whole judged evaluation over HTTP: scores as `score` reads them, calibration, and a second run that asks nobody."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.eval.judged import judged_run as run
from afterbase.eval.judged import judged_tables as tables
from afterbase.eval.judged.arena_hard import files as arena_hard_files
from afterbase.eval.judged.arena_hard import score as arena_hard
from afterbase.eval.judged.judged_plan import TASKS, Plan
from chatting import chatting


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    arena = [{"uid": f"u{i}", "category": "hard_prompt", "subcategory": "code", "prompt": f"p{i}"} for i in range(4)]
    (folder / "arena_hard_v2.0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in arena))
    alpaca = [{"instruction": f"i{i}", "output": "short", "generator": "reference"} for i in range(4)]
    (folder / "alpaca_eval.json").write_text(json.dumps(alpaca))
    pairs = [
        {"id": i, "subset": "hep-go", "prompt": f"p{i}", "chosen": "a longer one", "rejected": "short"} for i in (1, 2)
    ]
    (folder / "reward_bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    return folder


def likes_length(prompt: str) -> str | dict[str, float]:
    """A judge of length alone."""
    if "model=" in prompt:
        m, other = re.findall(r'<output model="[mM]">\n(.*?)\n</output>', prompt)
        return {"m": 0.0, "M": -50.0} if len(m) > len(other) else {"m": -50.0, "M": 0.0}
    a, b = re.findall(r"\[Answer of assistant [AB]\]\n(.*?)\n\[End", prompt)
    if "[[A>>B]]" in prompt:
        return "[[A>B]]" if len(a) > len(b) else "[[B>A]]"
    return "[[A]]" if len(a) > len(b) else "[[B]]"


def plan(data: Path, out: Path, judges: list[str], models: list[str], baseline: str, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "tasks": TASKS, "models": tuple(models), "baseline": baseline, "judges": tuple(judges), "data": data,
        "out": out, "limit": None, "max_tokens": 20, "judge_tokens": 20, "votes": 2,
    }  # fmt: skip
    return Plan(**{**settings, **changes})


def test_a_whole_evaluation_and_the_same_again(tmp_path: Path, data: Path) -> None:
    with (
        chatting("long", lambda _: "a very long answer indeed") as long,
        chatting("base", lambda _: "an answer") as base,
        chatting("judge", likes_length) as judge,
    ):
        planned = plan(data, tmp_path / "out", [judge.url], [long.url], base.url)
        told = run.evaluate(planned, Progress(), notify=lambda _: None)
        asked = [len(server.prompts) for server in (long, base, judge)]
        assert asked == [8, 8, 8 + 4 + 2 + 4]
        assert run.evaluate(planned, Progress(), notify=lambda _: None) == told
        assert [len(server.prompts) for server in (long, base, judge)] == asked, "answers and verdicts are kept"
    found = told["judges"]["judge"]
    assert found["arena-hard"] == {"long": {"score": 100.0, "ci_low": 100.0, "ci_high": 100.0}}
    assert found["alpaca-eval"]["long"]["win_rate"] == pytest.approx(100)
    assert found["reward-bench"]["maj@2"]["sections"]["Reasoning"] == 100
    assert found["calibration"]["length_bias"]["value"] == 0.5
    assert found["calibration"]["position_bias"]["value"] == 0
    assert found["calibration"]["agreement_with_people"]["value"] == 1
    assert found["by_task"]["long"]["code"]["value"] == 1
    battles = arena_hard_files.read_battles(tmp_path / "out/arena-hard/model_judgment/judge", "2.0", "hard_prompt")
    assert arena_hard.score(battles.battles, "2.0")["long"].score == 100
    shown = tables.tables("judge", found, told["published"])
    assert [table.row_count for table in shown] == [7, 9, 5, 1]


def test_a_judge_that_prefers_its_own_answers_is_told_from_the_other(tmp_path: Path, data: Path) -> None:
    def vain(prompt: str) -> str | dict[str, float]:
        if "[[A>>B]]" not in prompt:
            return "mine, mine"
        return "[[A>B]]" if "assistant A]\nmine" in prompt else "[[B>A]]"

    with (
        chatting("vain", vain) as vain_one,
        chatting("base", lambda _: "an answer that is longer") as base,
        chatting("judge", likes_length) as judge,
    ):
        planned = plan(
            data, tmp_path / "out", [vain_one.url, judge.url], [vain_one.url], base.url, tasks=("arena-hard",)
        )
        told = run.evaluate(planned, Progress(), notify=lambda _: None)["judges"]
    assert told["vain"]["calibration"]["self_preference"]["value"] > 0
    assert told["judge"]["calibration"]["self_preference"] is None


def test_a_judge_that_says_nothing_gives_no_score(tmp_path: Path, data: Path) -> None:
    with (
        chatting("long", lambda _: "x") as long,
        chatting("base", lambda _: "an answer") as base,
        chatting("judge", lambda _: "hm") as judge,
    ):
        told = run.evaluate(
            plan(data, tmp_path / "out", [judge.url], [long.url], base.url), Progress(), notify=lambda _: None
        )["judges"]["judge"]
    assert told["arena-hard"]["long"]["score"] is None
    assert told["alpaca-eval"]["long"] == {"win_rate": None, "standard_error": None, "n_total": 0}
    assert told["calibration"]["no_verdict"]["value"] == 1
    assert told["calibration"]["agreement_with_people"] is None


def test_a_judge_that_is_not_there_is_told_before_anybody_answers(tmp_path: Path, data: Path) -> None:
    with chatting("long", lambda _: pytest.fail("asked")) as long, chatting("base", lambda _: "x") as base:
        for judge in ("nowhere", "http://127.0.0.1:9/v1"):
            with pytest.raises(UserError):
                run.evaluate(
                    plan(data, tmp_path / "out", [judge], [long.url], base.url), Progress(), notify=lambda _: None
                )
    assert (long.prompts, base.prompts) == ([], [])


def test_missing_files_are_told_before_models_are_looked_for(tmp_path: Path, data: Path) -> None:
    (data / "reward_bench.jsonl").unlink()
    with pytest.raises(UserError, match="finds its file"):
        run.evaluate(plan(data, tmp_path / "out", ["nowhere"], ["m"], "b"), Progress(), notify=lambda _: None)
    assert not (tmp_path / "out").exists()
