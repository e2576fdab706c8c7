"""What a process that works beside its parent has to show: it is sent there, as two would write over one another."""

import contextlib
import io
from multiprocessing.connection import Connection

from afterbase.core.screen.run_state import RunState
from afterbase.core.screen.stage_state import News, StageState, State

_EVERY = 0.5  # seconds between two news of a running stage
_PIECE = 900  # characters: what fits in one write to a pipe, which other threads and forks cannot split


class ChildScreen:
    """Sends what there is to show through `parent`."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent
        self._sent: dict[str, tuple[float, State]] = {}

    def open(self, run: RunState, now: float) -> None:
        pass  # the parent has the plan

    def see(self, stage: StageState, now: float) -> None:
        if stage.state == "cached":
            return  # the parent comes to it, too, and each stage is named once
        at, state = self._sent.get(stage.name, (0.0, None))
        if stage.state != state or now - at >= _EVERY:
            self._sent[stage.name] = (now, stage.state)
            send(self._parent, stage.sent())

    def tick(self, now: float) -> None:
        pass

    def say(self, text: str, now: float) -> None:
        send(self._parent, text)

    def close(self, now: float) -> None:
        pass


class SentLines(io.TextIOBase):
    """A standard output or error whose lines are sent through `parent`, long ones in pieces."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            for at in range(0, max(1, len(line)), _PIECE):
                send(self._parent, line[at : at + _PIECE])
        return len(text)


def send(parent: Connection, news: News) -> None:
    """Send it, unless the parent has ended, or is about to."""
    with contextlib.suppress(OSError):
        parent.send(news)
