"""The one-line trainings as commands."""

import inspect
import json

import pytest
from typer.testing import CliRunner

from afterbase.cli import start_job
from afterbase.cli.jobs import _OTHER_NAMES, COMMANDS
from afterbase.cli.main import app
from afterbase.core.errors import UserError


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_argument_of_a_command_is_one_of_its_function(command):
    function = getattr(start_job, command.__name__)
    taken = {*inspect.signature(function).parameters, *start_job.Options.__annotations__} - {"options"}
    given = {_OTHER_NAMES.get(name, name) for name in inspect.signature(command).parameters} - {"as_json"}
    assert given <= taken
    assert {name for name, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD} <= given


def test_a_training_ends_with_one_line_of_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{n} + 1?", "completion": str(n + 1)} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["sft", "tiny-v3", "rows.jsonl", "--out", "out", "--json", "--set", "epochs=1", "--set", "threads=1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {"model", "steps", "first_loss", "last_loss", "seconds"}
    assert told["model"] == "out"
    assert told["steps"] >= 1


def test_settings_of_a_template_that_are_no_object_are_refused(tmp_path):
    words = ["sft", "tiny-v3", "rows.jsonl", "--out", str(tmp_path / "out"), "--template-args", "[1]"]
    with pytest.raises(UserError, match="object of JSON"):
        CliRunner().invoke(app, words, catch_exceptions=False)
