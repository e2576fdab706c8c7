"""The last lines of a run: a command in them works as it is printed."""

from pathlib import Path

import pytest

from afterbase.cli.run_ending import show_command, tell


@pytest.mark.parametrize(
    ("root", "command"),
    [("", "afterbase show tiny"), ("my runs", "afterbase show tiny --root 'my runs'")],
)
def test_the_run_is_found_where_it_lies(root, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert show_command(Path(root) / "runs" / "tiny" / "report.html") == command
    assert show_command(tmp_path / root / "runs" / "tiny" / "report.html").startswith("afterbase show tiny")


def test_lines_are_whole_where_no_terminal_is(capsys):
    line = "model: " + "deep/" * 60
    tell([line, "two words " * 40])
    assert capsys.readouterr().out.splitlines() == [line, "two words " * 40]
