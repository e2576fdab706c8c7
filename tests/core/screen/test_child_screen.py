import select
from multiprocessing import Pipe
from multiprocessing.reduction import ForkingPickler

from afterbase.core.progress import Progress
from afterbase.core.screen.child_screen import ChildScreen, SentLines
from afterbase.core.screen.run_state import RunState


class Seen:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str, int]] = []
        self.lines: list[str] = []

    def open(self, run, now) -> None: ...
    def tick(self, now) -> None: ...
    def close(self, now) -> None: ...

    def see(self, stage, now) -> None:
        self.stages.append((stage.name, stage.state, stage.step))

    def say(self, text, now) -> None:
        self.lines.append(text)


def test_a_parent_shows_what_its_child_does_a_few_times_a_second():
    ours, theirs = Pipe(duplex=False)
    now = [0.0]
    child = Progress(screen=ChildScreen(theirs), clock=lambda: now[0])
    with child.run(RunState("the parent knows")), child.stage("sft") as line:
        for step in range(1, 9):
            now[0] += 0.125
            line.update(step, 8, loss=0.5)
        line.say("goes on")
    child.skip("mix")  # the parent comes to it, too
    seen = Seen()
    parent = Progress(screen=seen)
    while ours.poll():
        parent.show(ours.recv())
    assert seen.stages == [
        ("sft", "running", 0), ("sft", "running", 4), ("sft", "running", 8), ("sft", "done", 8),
    ]  # fmt: skip
    assert seen.lines == ["sft: goes on"]


def test_printed_lines_are_sent_whole():
    ours, theirs = Pipe(duplex=False)
    out = SentLines(theirs)
    print("one", file=out)
    print("tw", end="", file=out)
    print("o\nthree", file=out)
    assert [ours.recv() for _ in range(3)] == ["one", "two", "three"]
    assert not ours.poll()


def test_a_long_line_is_sent_in_pieces_that_a_pipe_takes_at_once():
    ours, theirs = Pipe(duplex=False)
    print("😀" * 2000, file=SentLines(theirs))
    pieces = []
    while ours.poll():
        pieces.append(ours.recv())
    assert "".join(pieces) == "😀" * 2000
    assert max(len(ForkingPickler.dumps(piece)) for piece in pieces) + 4 <= select.PIPE_BUF


def test_a_parent_that_has_ended_is_no_error():
    ours, theirs = Pipe(duplex=False)
    ours.close()
    with Progress(screen=ChildScreen(theirs)).stage("sft") as line:
        line.update(1, 1)
    print("nobody reads it", file=SentLines(theirs))
