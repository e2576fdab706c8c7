"""A toy model on toy files: in process and served the same, refused early, and resumed where it stopped."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.progress import Silent
from afterbase.eval.benchmarks.benchmark import Asked, Plan, Variant, _judged, evaluate
from afterbase.eval.benchmarks.contamination import training_of
from afterbase.eval.benchmarks.results import read
from afterbase.eval.benchmarks.settings import Settings
from afterbase.eval.benchmarks.subject import Subject, find_subject
from afterbase.eval.tasks import TASKS
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.knowledge import judged_answers as judged
from afterbase.eval.tasks.task import Task
from afterbase.model.load import load
from afterbase.rollout.chat_model import ChatRequest, Reply
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.server.app import create_app
from loopback import served


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    sums = [{"question": f"What is {i} + {i}?", "answer": f"So.\n#### {2 * i}"} for i in range(5)]
    aime = [{"id": i, "problem": f"Find {i}.", "answer": f"00{i}"} for i in range(2)]
    for name, rows in (("gsm8k", sums), ("aime2024", aime)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _evaluate(spec: str, data: Path, out: Path, names=("gsm8k",), trained_on=(), **settings):
    said: list[str] = []
    results = evaluate(
        find_subject(spec),
        list(names),
        Plan(folder=Folder(data), settings=Settings(**settings), out=out, training=training_of(None, trained_on)),
        judge=None,
        progress=Silent(),
        notify=said.append,
    )
    return results, said


def test_the_same_in_process_and_served(toy_folder, data, tmp_path):
    settings = {"names": ("gsm8k", "aime2024"), "max_tokens": 16}
    local, _ = _evaluate(str(toy_folder), data, tmp_path / "local", **settings)
    app = create_app(load(toy_folder), name="toy", token=None, max_rows=8, token_budget=20_000)
    with served(app) as url:
        remote, _ = _evaluate(url, data, tmp_path / "remote", **settings)
    assert local == remote
    assert local["gsm8k"].n == 5
    assert local["aime2024"].n == 2
    rows = [{name: e.rows for name, e in read(tmp_path / side).items()} for side in ("local", "remote")]
    assert rows[0] == rows[1]
    assert len({row.text for row in rows[0]["aime2024"]}) > 16  # sampled anew in each of 16 runs


def test_a_stopped_run_goes_on(toy_folder, data, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    complete, computed = EngineModel.complete, []

    def stopping(self, requests, *, on_finished=None):
        def count(index, result):
            assert on_finished is not None
            on_finished(index, result)
            computed.append(index)
            if len(computed) == 3:
                raise StoppedError

        return complete(self, requests, on_finished=count)

    monkeypatch.setattr(EngineModel, "complete", stopping)
    with pytest.raises(StoppedError):
        _evaluate(str(toy_folder), data, tmp_path / "out", max_tokens=8)
    assert not list((tmp_path / "out").glob("*.json"))
    monkeypatch.setattr(EngineModel, "complete", complete)
    resumed, _ = _evaluate(str(toy_folder), data, tmp_path / "out", max_tokens=8)
    fresh, _ = _evaluate(str(toy_folder), data, tmp_path / "fresh", max_tokens=8)
    assert resumed == fresh


def test_missing_files_are_all_told_before_the_model_is_loaded(toy_folder, data, tmp_path, monkeypatch):
    monkeypatch.setattr("afterbase.model.load.load", lambda _: pytest.fail("loaded a model"))
    with pytest.raises(UserError) as raised:
        _evaluate(str(toy_folder), data, tmp_path / "out", names=("gsm8k", "mmlu", "drop"))
    assert "mmlu needs" in raised.value.got
    assert "drop needs" in raised.value.got
    assert raised.value.remedy.endswith("leave mmlu, drop out of --tasks")
    assert not (tmp_path / "out").exists()


def test_a_prompt_beyond_the_context_is_wrong_and_told(toy_folder, data, tmp_path):
    with (data / "gsm8k.jsonl").open("a") as file:
        file.write(json.dumps({"question": "What? " * 2000, "answer": "#### 1"}) + "\n")
    results, said = _evaluate(str(toy_folder), data, tmp_path / "out", max_tokens=8)
    assert results["gsm8k"].n == 6
    assert said == ["gsm8k: 1 of 6 prompts do not fit in the context, and count as wrong"]


def test_runs_take_the_temperatures_in_turn(toy_folder, data, tmp_path):
    _evaluate(str(toy_folder), data, tmp_path / "out", temperatures=(0.0, 0.9), runs=2, limit=2, max_tokens=4)
    evaluated = read(tmp_path / "out")["gsm8k"]
    assert evaluated.settings["temperatures"] == [0.0, 0.9]
    assert [(row.id, row.run) for row in evaluated.rows] == [("0", 0), ("0", 1), ("1", 0), ("1", 1)]


def test_budgets_and_twins_stand_beside_the_benchmark(toy_folder, data, tmp_path):
    rows = [{"question": f"Anna has {i} hats. How many?", "answer": f"<<{i}+0={i}>>\n#### {i}"} for i in range(40, 44)]
    (data / "gsm8k.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results, _ = _evaluate(str(toy_folder), data, tmp_path / "out", budgets=(4, 9), twins=True)
    assert list(results) == ["gsm8k@4", "gsm8k@4~names", "gsm8k@9", "gsm8k@9~names"]
    assert results["gsm8k@4"].mean_tokens == 4
    assert results["gsm8k@4"].gap is None
    gap = results["gsm8k@9~names"].gap
    assert gap is not None
    assert (gap.value, gap.p, gap.n) == (0, 1, 4)
    assert sorted(read(tmp_path / "out")) == sorted(results)


def test_questions_that_the_model_was_trained_on_are_told(toy_folder, data, tmp_path):
    rows = [{"question": f"Anna has {i} hats and {i} cats.", "answer": f"#### {i}"} for i in range(4)]
    (data / "gsm8k.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    trained = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "Anna HAS 2 hats and 2 cats"}, {"role": "assistant", "content": "2"}]
    trained.write_text(json.dumps({"messages": turns}) + "\n")
    results, said = _evaluate(str(toy_folder), data, tmp_path / "out", trained_on=(trained,), max_tokens=4)
    it = results["gsm8k"].contaminated
    assert it is not None
    assert (it.n, it.value) == (1, 0.0)
    assert results["gsm8k"].n == 4
    assert said == [f"gsm8k: the model was trained on 1 of 4 questions; without them: 0.0 [0.0, {it.high:.1f}]"]
    assert [row.id for row in read(tmp_path / "out")["gsm8k"].rows if row.contaminated] == ["2"]


def test_a_missing_file_of_training_rows_is_refused_before_the_model_is_loaded(toy_folder, data, tmp_path, monkeypatch):
    monkeypatch.setattr("afterbase.model.load.load", lambda _: pytest.fail("loaded a model"))
    with pytest.raises(UserError, match="a file of rows exists"):
        _evaluate(str(toy_folder), data, tmp_path / "out", trained_on=(tmp_path / "none.jsonl",))


def test_what_is_judged_is_the_answer_and_a_verdict_that_is_cut_off_is_none():
    """A thought reaches no judge, one that never ends has no answer, and no half verdict is guessed at."""
    responses = {"q0": "<think>London</think>Paris", "q1": "<think>Paris", "q2": "Paris"}
    shown: list[str] = []

    class Says:
        def __init__(self, say: Callable[[str], tuple[str, str]]) -> None:
            self.say = say

        def describe(self) -> dict[str, str]:
            return {"name": "says"}

        def complete(
            self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Reply], None] | None = None
        ) -> list[Reply]:
            replies = [self.say(request.messages[-1]["content"]) for request in requests]
            return [Reply(text=text, tokens=1, finish=end) for text, end in replies]

    def judge(prompt: str) -> tuple[str, str]:
        shown.append(prompt)
        return ("CORRECT, as it", "length") if "q2" in prompt else ("NOT CORRECT", "stop")

    subject = Subject(name="toy", digest=None, context=None, plain=False, open=lambda _: Says(judge))
    asked = Asked(
        subject=subject,
        answering=Says(lambda prompt: (responses[prompt], "stop")),
        judge=subject,
        judging=Says(judge),
        settings=Settings(),
        seen=None,
        progress=Silent(),
    )
    items = [judged.item(name, name, "Paris") for name in responses]
    task = TASKS["simpleqa"]
    assert isinstance(task, Task)
    variant = Variant(name="simpleqa", task=task, items=items, max_tokens=9)
    assert [(one.row.value, one.row.reason, one.row.failed) for one in _judged(variant, asked)] == [
        (0, "incorrect", False),
        (0, "unfinished_thought", False),
        (0, "judge_without_verdict", True),
    ]
    assert len(shown) == 2
    assert not any("London" in prompt for prompt in shown)
