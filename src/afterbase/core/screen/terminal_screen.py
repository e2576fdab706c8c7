"""One screen in a terminal, redrawn in place: the tree of a run, or the line of a stage that belongs to no run.

Redrawn when there is news and by `tick` alone: no thread, because stages fork worker processes. The cursor is never
hidden, so that a process that is killed leaves a terminal as it was. What others print meanwhile, through Python,
stands above the screen.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from afterbase.core.sanitize import sanitized
from afterbase.core.screen.run_state import RunState
from afterbase.core.screen.stage_state import StageState, State
from afterbase.core.screen.tree_layout import last_lines, screen_lines, stage_lines

_EVERY = 0.5  # seconds between two drawings: what one costs must not be felt by what is trained


class TerminalScreen:
    """Draws on `stream`, a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._run: RunState | None = None
        self._alone: StageState | None = None
        self._states: dict[str, State] = {}
        self._drawing = contextlib.ExitStack()
        self._live: Live | None = None
        self._drawn = float("-inf")
        self._lengths: list[int] = []  # of the lines that stand there

    def open(self, run: RunState, now: float) -> None:
        self._run = run
        self._draw(now)

    def see(self, stage: StageState, now: float) -> None:
        if self._run is not None:
            self._run.see(stage)
            if self._states.get(stage.name) != stage.state:  # the next news may be a minute away
                self._states[stage.name] = stage.state
                self._draw(now)
            self.tick(now)
            return
        begins = self._alone is None
        self._alone = None if stage.ended else stage
        if stage.ended:
            self._leave(stage_lines(stage, width=self._console.width, now=now))
        elif begins:
            self._draw(now)
        else:
            self.tick(now)

    def tick(self, now: float) -> None:
        if now - self._drawn >= _EVERY:
            self._draw(now)

    def say(self, text: str, now: float) -> None:
        self._console.print(Text(sanitized(text)))

    def close(self, now: float) -> None:
        assert self._run is not None, "it was opened"
        self._run.stop(now)
        lines = last_lines(self._run, width=self._console.width, now=now)
        self._run = None
        self._leave(lines)

    def _draw(self, now: float) -> None:
        width, height = self._console.size
        if self._run is not None:
            lines = screen_lines(self._run, width=width, height=height - 1, now=now)
        elif self._alone is not None:
            lines = stage_lines(self._alone, width=width, now=now)
        else:
            return
        self._drawn = now
        if self._live is None:
            self._live = self._drawing.enter_context(self._redirected())
        self._go_up(sum((length - 1) // width for length in self._lengths if length))
        self._lengths = [line.cell_len for line in lines]
        self._live.update(Group(*lines), refresh=True)

    def _leave(self, lines: list[Text]) -> None:
        """Take the screen away, and let these lines stay."""
        self._drawing.close()
        self._live, self._drawn, self._lengths = None, float("-inf"), []
        for line in lines:
            self._console.print(line)

    @contextlib.contextmanager
    def _redirected(self) -> Iterator[Live]:
        """A live drawing; what is printed to a terminal meanwhile goes through it."""
        live = Live(
            console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(), redirect_stderr=sys.stderr.isatty(),
        )  # fmt: skip
        before = sys.stderr
        with live:
            self._console.show_cursor(True)
            handlers = _handlers_on(before) if sys.stderr is not before else []
            for handler in handlers:
                handler.setStream(sys.stderr)
            try:
                yield live
            finally:
                for handler in handlers:
                    handler.setStream(before)

    def _go_up(self, rows: int) -> None:
        """Take away rows that a narrower terminal made of the drawn lines, which the live drawing knows nothing of."""
        erase = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        if rows:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, *erase * rows))


def _handlers_on(stream: TextIO) -> list[logging.StreamHandler[TextIO]]:
    """The log handlers that write on a stream: they took it when they were made."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    found = (handler for logger in loggers for handler in logger.handlers)
    return [h for h in found if isinstance(h, logging.StreamHandler) and h.stream is stream]
