"""`afterbase eval`: both commands, what they print, and mistakes that cost nothing."""

import json
import sys
from pathlib import Path

import pytest

from afterbase.cli import eval as eval_commands
from afterbase.cli import main as cli
from hostile import NAME, ON_ONE_LINE

KEYS = ["metric", "value", "low", "high", "n", "mean_tokens", "truncated_share"]


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["afterbase", "eval", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code is None or isinstance(end.value.code, int)
    return end.value.code or 0


@pytest.fixture
def data(tmp_path):
    row = {"question": "What is 3 + 4?", "answer": "#### 7"}
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def test_a_model_is_evaluated_wherever_its_options_stand(toy_folder, data, tmp_path, monkeypatch, capsys):
    options = ["--tasks", "gsm8k", "--data", data, "--max-new-tokens", "8", "--json", "--out", tmp_path / "out"]
    printed = []
    for arguments in ([toy_folder, *options], [*options, toy_folder], ["model", toy_folder, *options]):
        assert _call(monkeypatch, *arguments) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1] == printed[2]
    assert list(printed[0]) == ["gsm8k"]
    assert list(printed[0]["gsm8k"]) == KEYS


def test_a_file_of_ones_own_is_a_task_of_its_name(toy_folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "sums.jsonl").write_text('{"q": "What is 3 + 4?", "answer": "7"}\n')
    options = ["--verifier", "maths", "--columns", "prompt=q", "--max-new-tokens", "8", "--json"]
    assert _call(monkeypatch, toy_folder, "--tasks", tmp_path / "sums.jsonl", *options, "--out", tmp_path / "out") == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["sums"]
    assert list(printed["sums"]) == KEYS
    assert printed["sums"]["low"] < printed["sums"]["high"]


def test_results_lie_in_a_folder_of_the_models_name_and_are_compared(toy_folder, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _call(monkeypatch, toy_folder, "--tasks", "gsm8k", "--data", data, "--max-new-tokens", "8") == 0
    (folder,) = (tmp_path / "evals").iterdir()
    assert f"results: evals/{folder.name}" in capsys.readouterr().out
    assert _call(monkeypatch, "compare", folder, folder, "--json") == 0
    compared = json.loads(capsys.readouterr().out)["gsm8k"]
    assert (compared["difference"], compared["p_holm"], compared["n"]) == (0, 1, 1)
    assert _call(monkeypatch, "compare", folder, folder) == 0
    assert "gsm8k" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["tiny-v3", "--tasks", "bogus"], "`--tasks` names benchmarks"),
        (["nowhere", "--tasks", "gsm8k"], "a model is a shipped name or"),
        (["http://127.0.0.1:9", "--tasks", "gsm8k"], "an endpoint tells of its models"),
        (["tiny-v3", "--tasks", "gsm8k", "--temperatures", "hot"], "a list of numbers"),
        (["tiny-v3", "--tasks", "mmlu", "--data", "."], "a benchmark runs where all that it needs is there"),
        (["compare", ".", "."], "a result is a folder that"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told_at_once_and_leave_nothing_behind(tmp_path, monkeypatch, capsys, arguments, rule):
    monkeypatch.chdir(tmp_path)
    assert _call(monkeypatch, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {rule}")
    assert list(tmp_path.iterdir()) == []


def test_help_is_of_the_group(monkeypatch, capsys):
    assert _call(monkeypatch, "--help") == 0
    assert "compare" in capsys.readouterr().out


def test_names_from_data_are_shown_as_they_are_written(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    eval_commands._table({NAME: {"value": 1.0, "low": 0.0, "high": 2.0}}, "value", {"value": "score"})
    assert ON_ONE_LINE in capsys.readouterr().out
