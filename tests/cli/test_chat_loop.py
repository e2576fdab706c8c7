"""`afterbase chat` through a pipe and in a terminal; what a model writes commands no terminal."""

import io

import pytest

from afterbase.cli import main
from afterbase.rollout.conversation import LocalConversation


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
