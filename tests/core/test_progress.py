import subprocess
import sys
from io import StringIO

import pytest

from afterbase.core.progress import Progress, Silent
from hostile import NAME, ON_ONE_LINE


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pipe() -> StringIO:
    return StringIO()


def test_pipe_gets_a_line_every_ten_seconds_and_one_at_the_end(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("sft") as line:
        for step in range(1, 26):
            clock.now += 1.0
            line.update(step, 25, loss=1 / step, tokens_per_second=1500.0)
    assert pipe.getvalue().splitlines() == [
        "sft: 10/25, loss 0.1, 1,500 tokens/s, 0:15 left",
        "sft: 20/25, loss 0.05, 1,500 tokens/s, 0:05 left",
        "sft: done in 0:25, loss 0.04, 1,500 tokens/s",
    ]


def test_short_stage_is_one_line_with_its_note(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("mix") as line:
        line.update(1, 1)
        clock.now += 2.0
        line.done("812 of 900 rows kept")
    assert pipe.getvalue() == "mix: done in 0:02, 812 of 900 rows kept\n"


def test_what_a_stage_says_is_a_line_of_its_own_that_stays(clock: Clock, pipe: StringIO, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for stream in (pipe, Terminal()):
        with Progress(stream=stream, clock=clock).stage("sft") as line:
            line.say("goes on from step 3")
            line.update(4, 4)
        assert "goes on from step 3" in stream.getvalue()
    assert pipe.getvalue() == "sft: goes on from step 3\nsft: done in 0:00\n"


def test_resumed_stage_counts_only_its_own_steps(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("grpo") as line:
        line.update(90, 100)
        clock.now += 10.0
        line.update(91, 100)
    assert pipe.getvalue().splitlines()[0] == "grpo: 91/100, 1:30 left"


def test_second_pass_of_a_stage_starts_its_clock_anew(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("evaluate") as line:
        line.update(1, 10)
        clock.now += 1000.0
        line.update(10, 10)
        line.update(1, 10)
        clock.now += 10.0
        line.update(2, 10)
    assert pipe.getvalue().splitlines()[1] == "evaluate: 2/10, 1:20 left"


def test_error_ends_the_line_where_it_stood_and_goes_on(clock: Clock, pipe: StringIO):
    def interrupted() -> None:
        with Progress(stream=pipe, clock=clock).stage("sft") as line:
            line.update(3, 9, loss=0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert pipe.getvalue() == "sft: stopped at 3/9 in 0:00, loss 0.5\n"


def test_skipped_stage_is_one_line(pipe: StringIO):
    Progress(stream=pipe).skip("sft", "3f2a91")
    assert pipe.getvalue() == "sft: cached, 3f2a91\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.52341, "0.523"),
        (5e-6, "5e-06"),
        (12345, "12,345"),
        (1234.5, "1,234"),
        (float("nan"), "nan"),
        ("3 of 8", "3 of 8"),
    ],
)
def test_numbers_are_short(value: float | str, shown: str, clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("s") as line:
        line.update(1, 1, zero_variance=value)
    assert pipe.getvalue() == f"s: done in 0:00, zero variance {shown}\n"


def test_hours_are_shown(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("s"):
        clock.now += 3725.0
    assert pipe.getvalue() == "s: done in 1:02:05\n"


def test_terminal_draws_a_live_line_and_leaves_the_last(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    screen = Terminal()
    progress = Progress(stream=screen, clock=clock)
    with progress.stage("sft [arithmetic]") as line:
        for step in (1, 2):
            clock.now += 5.0
            line.update(step, 4, tokens_per_second=20, loss=0.25)
    text = screen.getvalue()
    assert "sft [arithmetic]" in text  # not taken for markup
    assert "2/4" in text
    assert "20 tokens/s" in text
    assert "0:10 left" in text
    assert "━" in text
    assert "done in 0:10" in text.splitlines()[-1]
    progress.skip("mix", "cached before")
    assert "cached before" in screen.getvalue().splitlines()[-1]


def test_terminal_is_not_redrawn_for_every_step(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    with Progress(stream=screen, clock=clock).stage("sft") as line:
        begun = screen.getvalue()
        for step in range(1000):
            line.update(step, 1000)
        assert screen.getvalue() == begun
    assert "starting" in begun


def test_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    screen = Terminal()
    Progress(stream=screen).skip("sft")
    assert screen.getvalue() == "sft: cached\n"


def test_silent_takes_the_same_calls(capsys: pytest.CaptureFixture[str]):
    progress = Silent()
    with progress.stage("sft") as line:
        line.update(1, 1, loss=0.5)
        line.done("note")
    progress.skip("mix", "note")
    assert capsys.readouterr() == ("", "")


def test_rich_is_not_loaded_for_a_pipe():
    use = "import sys; from afterbase.core.progress import Progress; Progress().skip('s')"
    code = f"{use}; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_names_and_notes_do_not_steer_the_terminal(stream: type[StringIO], clock: Clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    screen = stream()
    progress = Progress(stream=screen, clock=clock)
    progress.skip(NAME, NAME)
    with progress.stage("a") as line:
        line.update(1, 1, now=NAME)
        line.say(NAME)
        line.done(NAME)
    assert screen.getvalue().count(ON_ONE_LINE) == 5
    assert "\x1b]0;" not in screen.getvalue()
