"""What a run's stages show of themselves while they run: one screen in a terminal, plain lines in a pipe.

A stage says at which step it is and its newest numbers, those that matter most first. What is shown of that, and when,
is the business of `screen/`: `terminal_screen.py`, `pipe_screen.py`, and `child_screen.py` for processes beside this
one. Notebooks get the plain lines, and so do terminals that cannot write all characters.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TextIO

from afterbase.core.screen.pipe_screen import PipeScreen
from afterbase.core.screen.run_state import RunState
from afterbase.core.screen.stage_state import News, StageState, State

Clock = Callable[[], float]


class Screen(Protocol):
    """Where progress is shown. `now` is the time in seconds."""

    def open(self, run: RunState, now: float) -> None:
        """All stages from now on are those of a run."""

    def see(self, stage: StageState, now: float) -> None:
        """There is something new of a stage."""

    def say(self, text: str, now: float) -> None:
        """A line that stays."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    def close(self, now: float) -> None:
        """The run has ended."""


class StageLine:
    """One running stage; a context manager that Progress.stage makes."""

    def __init__(self, name: str, *, screen: Screen, clock: Clock) -> None:
        self._screen, self._clock = screen, clock
        now = clock()
        self._stage = StageState(name, "running", began=now, at=now)

    @property
    def name(self) -> str:
        return self._stage.name

    def update(self, step: int, total: int, **numbers: float | str) -> None:
        """`step` of `total` is done; `numbers` are shown by name, in their order, `tokens_per_second` as tokens/s."""
        now = self._clock()
        self._stage.take(now, step, total, numbers)
        self._screen.see(self._stage, now)

    def say(self, text: str) -> None:
        """A line of its own, now, which stays."""
        self._screen.say(f"{self.name}: {text}", self._clock())

    def done(self, note: str = "") -> None:
        """End the stage, with how long it took, the last numbers and a note."""
        self._stage.note = note
        self._end("done")

    def __enter__(self) -> Self:
        self._screen.see(self._stage, self._clock())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._stage.ended:
            self._end("done" if kind is None else "stopped")

    def _end(self, how: State) -> None:
        self._stage.state, self._stage.at = how, self._clock()
        self._screen.see(self._stage, self._stage.at)


class Progress:
    """Shows a run's stages, on `stream` (standard error unless told otherwise) or on a given screen."""

    def __init__(
        self, *, stream: TextIO | None = None, clock: Clock = time.monotonic, screen: Screen | None = None
    ) -> None:
        self._screen = _screen_on(sys.stderr if stream is None else stream) if screen is None else screen
        self._clock = clock

    @contextlib.contextmanager
    def run(self, run: RunState) -> Iterator[None]:
        """What is shown in the block are stages of a run."""
        run.began = self._clock()
        self._screen.open(run, run.began)
        try:
            yield
        finally:
            self._screen.close(self._clock())

    def stage(self, name: str) -> StageLine:
        """A stage that now begins: `with progress.stage("sft") as line: ...`."""
        return StageLine(name, screen=self._screen, clock=self._clock)

    def skip(self, name: str, note: str = "") -> None:
        """A stage that need not run."""
        self._screen.see(StageState(name, "cached", note=note), self._clock())

    def show(self, news: News) -> None:
        """What another process sent: how one of its stages stands, or a line."""
        if isinstance(news, StageState):
            self._screen.see(news, self._clock())
        else:
            self._screen.say(news, self._clock())

    def tick(self) -> None:
        """Time has passed: times on the screen go on."""
        self._screen.tick(self._clock())


class Silent(Progress):
    """Progress that nobody sees, for tests and for use as a library."""

    def __init__(self) -> None:
        super().__init__(screen=_Nowhere())


class _Nowhere:
    def open(self, run: RunState, now: float) -> None:
        pass

    def see(self, stage: StageState, now: float) -> None:
        pass

    def say(self, text: str, now: float) -> None:
        pass

    def tick(self, now: float) -> None:
        pass

    def close(self, now: float) -> None:
        pass


def _screen_on(stream: TextIO) -> Screen:
    unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
    if stream.isatty() and unicode and os.environ.get("TERM") != "dumb":
        from afterbase.core.screen.terminal_screen import TerminalScreen

        return TerminalScreen(stream)
    return PipeScreen(stream)
