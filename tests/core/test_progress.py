import subprocess
import sys
from io import StringIO

import pytest

from afterbase.core.progress import Progress, Silent
from afterbase.core.screen.run_state import RunState


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pipe() -> StringIO:
    return StringIO()


def test_pipe_gets_a_line_every_minute_and_one_at_the_end(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("sft") as line:
        for step in range(1, 26):
            clock.now += 6.0
            line.update(step, 25, loss=1 / step, tokens_per_second=1500.0)
    assert pipe.getvalue().splitlines() == [
        "sft: 10/25, 1:30 left, loss 0.1, 1,500 tokens/s",
        "sft: 20/25, 0:30 left, loss 0.05, 1,500 tokens/s",
        "sft: done in 2:30, loss 0.04, 1,500 tokens/s",
    ]


def test_short_stage_is_one_line_with_its_note(clock: Clock, pipe: StringIO):
    with Progress(stream=pipe, clock=clock).stage("mix") as line:
        line.update(1, 1)
        clock.now += 2.0
        line.done("812 of 900 rows kept")
    assert pipe.getvalue() == "mix: done in 0:02, 812 of 900 rows kept\n"


def test_error_ends_the_line_where_it_stood_and_goes_on(clock: Clock, pipe: StringIO):
    def interrupted() -> None:
        with Progress(stream=pipe, clock=clock).stage("sft") as line:
            line.update(3, 9, loss=0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert pipe.getvalue() == "sft: stopped at 3/9 after 0:00, loss 0.5\n"


def test_skipped_stage_is_one_line(pipe: StringIO):
    Progress(stream=pipe).skip("sft", "3f2a91")
    assert pipe.getvalue() == "sft: cached, 3f2a91\n"


def test_a_stage_can_say_something(pipe: StringIO):
    with Progress(stream=pipe).stage("sft") as line:
        line.say("goes on from step 3")
        assert pipe.getvalue() == "sft: goes on from step 3\n"


def test_what_another_process_sends_is_shown(pipe: StringIO):
    progress = Progress(stream=pipe)
    progress.show("a line")
    with Progress(screen=progress._screen).stage("theirs") as line:
        progress.show(line._stage)
    assert pipe.getvalue() == "a line\ntheirs: done in 0:00\n"


@pytest.mark.parametrize(("encoding", "term"), [("utf-8", "dumb"), ("ascii", "xterm")])
def test_terminals_that_cannot_draw_get_plain_lines(monkeypatch: pytest.MonkeyPatch, encoding: str, term: str):
    monkeypatch.setenv("TERM", term)
    screen = Terminal()
    screen.encoding = encoding
    Progress(stream=screen).skip("sft")
    assert screen.getvalue() == "sft: cached\n"


def test_silent_takes_the_same_calls(capsys: pytest.CaptureFixture[str]):
    progress = Silent()
    with progress.run(RunState("toy")), progress.stage("sft") as line:
        line.update(1, 1, loss=0.5)
        line.say("hello")
        line.done("note")
    progress.skip("mix", "note")
    progress.tick()
    assert capsys.readouterr() == ("", "")


def test_rich_is_not_loaded_for_a_pipe():
    use = "import sys; from afterbase.core.progress import Progress; Progress().skip('s')"
    code = f"{use}; assert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
