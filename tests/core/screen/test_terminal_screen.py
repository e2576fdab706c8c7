"""The screen as a terminal gets it: what becomes of the bytes is told by a small terminal."""

import logging
import re
import sys
from io import StringIO

import pytest

from afterbase.core.progress import Progress
from afterbase.core.screen.run_state import PlannedStage, RunState
from afterbase.core.screen.terminal_screen import TerminalScreen
from hostile import NAME

_CODE = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Terminal(StringIO):
    """Lines as a terminal shows them. Does not know scrolling: it is higher than what tests write."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        rows, at, column = [""], 0, 0
        for number, command, control, text in _CODE.findall(self.getvalue()):
            if text:
                rows[at] = rows[at][:column].ljust(column) + text + rows[at][column + len(text) :]
                column += len(text)
            elif control == "\n":
                at, column = at + 1, 0
                rows += [""] * (at == len(rows))
            elif control == "\r":
                column = 0
            elif command == "A":
                at -= int(number)
                assert at >= 0, "above the terminal"
            elif command == "K":
                rows[at] = ""
            else:
                assert command in "mhl", command
        while rows and not rows[-1]:
            del rows[-1]
        return [row.rstrip() for row in rows]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")
    return Terminal()


def _run() -> RunState:
    planned = [PlannedStage("base model", branch=("begin",)), PlannedStage("SFT", branch=("tuning",))]
    return RunState("toy", "cpu, 1 thread", planned)


def test_a_stage_alone_is_a_live_line_and_leaves_its_last(terminal, clock):
    progress = Progress(stream=terminal, clock=clock)
    with progress.stage("sft [arithmetic]") as line:
        for step in (1, 2):
            clock.now += 5.0
            line.update(step, 4, loss=0.25)
        assert terminal.lines() == ["sft [arithmetic]  ━━━━━━──────  2/4  0:10 left  loss 0.25"]
    assert terminal.lines() == ["sft [arithmetic]  done in 0:10  loss 0.25"]
    progress.skip("mix", "cached before")
    assert terminal.lines()[1:] == ["mix  cached  cached before"]


def test_a_run_is_drawn_in_place_and_leaves_a_short_tree(terminal, clock):
    progress = Progress(stream=terminal, clock=clock)
    with progress.run(_run()):
        with progress.stage("base model"):
            clock.now += 1.0
        with progress.stage("SFT") as line:
            for step in range(1, 5):
                clock.now += 1.0
                line.update(step, 8, loss=1 / step)
            assert terminal.lines() == [
                "toy  1 of 2 stages done  0:05  less than a minute left  cpu, 1 thread",
                "begin         done in 0:01  1 stage",
                "  base model  done in 0:01",
                "tuning        0 of 1 stage done",
                "  SFT         ━━━━━━──────  4/8  0:04 left  loss 0.25 █▃▂▁",
            ]
    assert terminal.lines() == [
        "toy  2 of 2 stages done in 0:05",
        "begin         done in 0:01  1 stage",
        "tuning        done in 0:04  1 stage",
    ]


def test_time_goes_on_where_nothing_is_new(terminal, clock):
    progress = Progress(stream=terminal, clock=clock)
    with progress.run(_run()), progress.stage("SFT"):
        clock.now += 61.0
        progress.tick()
        assert "  SFT         running 1:01" in terminal.lines()


def test_the_beginning_and_the_end_of_a_stage_are_shown_at_once(terminal, clock):
    progress = Progress(stream=terminal, clock=clock)
    with progress.run(_run()):
        with progress.stage("base model"):
            assert "  base model  running 0:00" in terminal.lines()
        assert "  base model  done in 0:00" in terminal.lines()


def test_it_is_not_redrawn_for_every_step(terminal, clock):
    with Progress(stream=terminal, clock=clock).stage("sft") as line:
        begun = terminal.getvalue()
        for step in range(1000):
            line.update(step, 1000)
        assert terminal.getvalue() == begun


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_leaves_a_clean_terminal_and_says_where_it_stood(terminal, clock, error):
    progress = Progress(stream=terminal, clock=clock)

    def interrupted() -> None:
        with progress.run(_run()), progress.stage("SFT") as line:
            line.update(3, 9)
            raise error

    with pytest.raises(error):
        interrupted()
    assert terminal.lines()[-1] == "  SFT         stopped at 3/9 after 0:00"
    assert terminal.getvalue().endswith("\n")
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")


def test_a_killed_process_leaves_the_cursor(terminal, clock):
    screen = TerminalScreen(terminal)
    screen.open(_run(), clock())
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")
    screen.close(clock())


def test_what_others_print_stands_above_it(terminal, clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    log = logging.getLogger("afterbase of a test")
    handler = logging.StreamHandler()
    monkeypatch.setattr(log, "handlers", [handler])
    progress = Progress(clock=clock)
    with progress.run(_run()), progress.stage("SFT") as line:
        print("printed")
        log.warning("logged")
        print("a warning", file=sys.stderr)
        line.say(NAME)
        clock.now += 5
        line.update(1, 2)
        shown = terminal.lines()
        assert shown[:3] == ["printed", "logged", "a warning"]
        assert [line for line in shown if line.startswith("toy  ")] == [shown[-5]]
    assert handler.stream is terminal
    assert sys.stderr is terminal
    assert "\x1b]0;" not in terminal.getvalue()


def test_a_terminal_that_becomes_narrower_has_no_rest_of_the_old_screen(terminal, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    progress = Progress(stream=terminal, clock=clock)
    with progress.run(RunState("x" * 60, planned=[PlannedStage("SFT")])), progress.stage("SFT"):
        drawn = [len(line) for line in terminal.lines()]
        clock.now += 1
        monkeypatch.setenv("COLUMNS", "40")
        before = len(terminal.getvalue())
        progress.tick()
        went_up = terminal.getvalue()[before:].count("\x1b[1A")
    assert went_up == sum(-(-length // 40) for length in drawn) - 1
