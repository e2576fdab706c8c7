"""Distillation from an endpoint, as one line: the teacher is a model that `afterbase serve` serves on the loopback."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import afterbase as ab
from afterbase.cli.main import app
from afterbase.core.errors import UserError
from afterbase.core.sample import read_samples
from afterbase.rollout.server.app import create_app
from loopback import served

PROMPTS = [{"prompt": f"{n} + 1?"} for n in range(8)]
SETTINGS = ["threads=1", "epochs=1", "teacher.max_new_tokens=300", "teacher.temperature=1.0"]


@pytest.fixture(autouse=True)
def _threads():
    """A run sets torch's threads for its process; give them back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Counting:
    """An application that counts the requests for answers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.answers = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.answers += scope.get("path", "").endswith("/chat/completions")
        await self._app(scope, receive, send)


def _distill(root: Path, student: Path, url: str, *more: str) -> dict[str, Any]:
    (root / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in PROMPTS))
    settings = [word for setting in (*SETTINGS, "teacher.most_failed=0.9") for word in ("--set", setting)]
    words = ["distill", str(student), str(root / "prompts.jsonl"), "--teacher", f"{url}/v1#toy"]
    words += ["--out", str(root / "out"), "--root", str(root), "--json", *settings, *more]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout.splitlines()[-1])


def test_a_served_teacher_is_asked_once_and_the_second_run_asks_nobody(toy_folder, tmp_path, toy_lm):
    teacher = Counting(create_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=4096))
    with served(teacher) as url:
        first = _distill(tmp_path, toy_folder, url)
        asked = teacher.answers
        assert asked == len(PROMPTS)
        assert first["steps"] >= 1
        assert _distill(tmp_path, toy_folder, url) == first
        assert teacher.answers == asked
    assert _distill(tmp_path, toy_folder, url) == first  # nor does the teacher have to be there


def test_a_teacher_that_does_not_answer_is_told_before_anything_is_made(toy_folder, tmp_path):
    with pytest.raises(UserError, match="an endpoint answers before a run"):
        ab.distill(
            toy_folder, PROMPTS, teacher="http://127.0.0.1:9/v1#toy", out=tmp_path / "out", root=tmp_path,
            settings={"threads": 1},
        )  # fmt: skip
    made = {json.loads(path.read_text())["stage"] for path in tmp_path.glob("store/*/manifest.json")}
    assert made == {"own_prompts"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("trained", "context"), [("all", []), ("last", [1])])
def test_earlier_answers_of_a_prompt_bear_loss_unless_the_last_alone_does(toy_folder, tmp_path, trained, context):
    before = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "1."}]
    prompts = [{"prompt": [*before, {"role": "user", "content": f"{n}?"}]} for n in range(8)]
    said = {"threads": 1, "epochs": 1, "teacher.max_new_tokens": 300, "teacher.most_failed": 0.9}
    ab.distill(
        toy_folder, prompts, teacher=toy_folder, out=tmp_path / "out", root=tmp_path, settings=said, trained=trained
    )  # fmt: skip
    [answers] = [
        path.parent for path in tmp_path.glob("store/*/manifest.json")
        if json.loads(path.read_text())["stage"] == "own_teacher_answers"
    ]  # fmt: skip
    assert all(sample.untrained == context for sample in read_samples(answers / "payload/samples.parquet"))
