"""`afterbase chat` through a pipe and in a terminal; `afterbase push` against a hub on loopback."""

import io
import os
import subprocess
import sys

import pytest

from afterbase.cli import main
from afterbase.rollout.conversation import LocalConversation
from hub_server import TOKEN, running


def chat(monkeypatch, lines: str, *arguments: str, terminal: bool = False) -> int:
    stdin = io.StringIO(lines)
    monkeypatch.setattr(stdin, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("sys.argv", ["afterbase", "chat", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_each_line_of_a_pipe_is_a_turn_until_quit(monkeypatch, capsys, toy_folder):
    asked = []
    reply = LocalConversation.reply

    def noted(self, text):
        asked.append(text)
        return reply(self, text)

    monkeypatch.setattr(LocalConversation, "reply", noted)
    lines = "1+1?\n\nAnd 2+2?\n/quit\nunheard\n"
    assert chat(monkeypatch, lines, str(toy_folder), "--max-tokens", "5", "--temperature", "0") == 0
    assert asked == ["1+1?", "And 2+2?"]
    first = capsys.readouterr().out
    assert not first.startswith(">")
    assert chat(monkeypatch, lines, str(toy_folder), "--max-tokens", "5", "--temperature", "0") == 0
    assert capsys.readouterr().out == first


def test_what_a_model_writes_is_shown_and_not_obeyed(monkeypatch, capsys, toy_folder):
    monkeypatch.setattr(LocalConversation, "reply", lambda self, text: iter(["red\x1b[31m", "\x07", "\u202e"]))
    assert chat(monkeypatch, "1+1?\n", str(toy_folder)) == 0
    assert capsys.readouterr().out == "red␛[31m␇[U+202E]\n"


def test_a_turn_that_does_not_fit_ends_a_pipe_but_not_a_terminals_conversation(monkeypatch, capsys, toy_folder):
    lines = "1 " * 2000 + "\n1+1?\n"
    assert chat(monkeypatch, lines, str(toy_folder), "--max-tokens", "5") == 2
    assert "fit in the model's context" in capsys.readouterr().err
    assert chat(monkeypatch, lines, str(toy_folder), "--max-tokens", "5", terminal=True) == 0
    shown = capsys.readouterr()
    assert "fit in the model's context" in shown.err
    assert shown.out.count("\n") == 2


def test_no_model_is_told(monkeypatch, capsys):
    assert chat(monkeypatch, "", "nowhere") == 2
    assert "remedy" in capsys.readouterr().err


def test_a_folder_goes_up_and_comes_down_by_its_name(tmp_path, toy_folder):
    """As commands: their environment is read when they start."""
    (toy_folder / "README.md").write_text("---\ntags: [a]\n---\n# Mine\n")
    with running() as hub:
        environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_TOKEN")} | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }

        def afterbase(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-m", "afterbase", *arguments]
            return subprocess.run(
                command, env=environment, input=given, cwd=tmp_path, capture_output=True, text=True, timeout=120
            )

        refused = afterbase("push", str(toy_folder), "org/mine")
        assert refused.returncode == 2
        assert "--licence" in refused.stderr
        assert hub.files == {}
        pushed = afterbase("push", str(toy_folder), "org/mine", "--licence", "mit")
        assert (pushed.returncode, pushed.stdout) == (0, f"{hub.url}/org/mine\n")
        assert hub.private["models/org/mine"]
        talked = afterbase("chat", "hub:org/mine", "--max-tokens", "3", "--temperature", "0", given="1+1?\n")
        assert talked.returncode == 0, talked.stderr
        assert talked.stdout
        assert TOKEN not in pushed.stderr + talked.stderr + refused.stderr
