"""One progress line a stage: live in a terminal, a plain line now and then in a pipe.

A line shows the step, the newest numbers that the stage gives, and the time left, which counts from the stage's first
`update`: a resumed stage is not credited with steps of its earlier life. Redrawn by `update` alone: no thread, because
stages fork worker processes. Notebooks get the plain lines, and so do processes that share a terminal (`plain`).
"""

import os
import sys
import time
from collections.abc import Callable
from io import StringIO
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from afterbase.core.sanitize import cell, on_one_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

Clock = Callable[[], float]


class StageLine:
    """The line of one running stage; a context manager that Progress.stage makes. Times in seconds."""

    def __init__(self, name: str, *, screen: "_Screen", clock: Clock) -> None:
        self._name = name
        self._screen = screen
        self._clock = clock
        self._began = self._drawn = clock()
        self._first: tuple[float, int] | None = None  # time and step of this pass's first update
        self._step = self._total = 0
        self._numbers: list[str] = []
        self._ended = False

    def update(self, step: int, total: int, **numbers: float | str) -> None:
        """`step` of `total` is done; `numbers` are shown by name, `tokens_per_second` as tokens/s."""
        now = self._clock()
        if self._first is None or step < self._step:  # a smaller step: the stage's next pass
            self._first = (now, step)
        self._step, self._total = step, total
        self._numbers = [_named(key, value) for key, value in numbers.items()]
        if now - self._drawn >= self._screen.interval:
            self._drawn = now
            self._screen.draw(self._name, step, total, [*self._numbers, *self._left(now)])

    def say(self, text: str) -> None:
        """A line of its own, now, which stays."""
        self._screen.say(self._name, text)

    def done(self, note: str = "") -> None:
        """End the line, with how long it took, the last numbers and a note."""
        self._end("done", [*self._numbers, note])

    def __enter__(self) -> Self:
        self._screen.begin(self._name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if kind is None:
            self.done()
        else:
            self._end(f"stopped at {self._step}/{self._total}", self._numbers)

    def _end(self, what: str, parts: list[str]) -> None:
        self._ended = True
        self._screen.end(self._name, f"{what} in {_duration(self._clock() - self._began)}", parts)

    def _left(self, now: float) -> list[str]:
        assert self._first is not None
        began, first_step = self._first
        if self._step == first_step:
            return []
        return [f"{_duration((now - began) / (self._step - first_step) * (self._total - self._step))} left"]


class Progress:
    """Makes the lines of a run's stages, on `stream` (standard error unless told otherwise)."""

    def __init__(self, *, stream: TextIO | None = None, clock: Clock = time.monotonic, plain: bool = False) -> None:
        out = sys.stderr if stream is None else stream
        live = not plain and out.isatty() and os.environ.get("TERM") != "dumb"
        self._screen: _Screen = _Terminal(out) if live else _Pipe(out)
        self._clock = clock

    def stage(self, name: str) -> StageLine:
        """The line of a stage that now begins: `with progress.stage("sft") as line: ...`."""
        return StageLine(name, screen=self._screen, clock=self._clock)

    def skip(self, name: str, note: str = "") -> None:
        """One line for a stage that need not run."""
        self._screen.end(name, "cached", [note])


class Silent(Progress):
    """Progress that nobody sees, for tests and for use as a library."""

    def __init__(self) -> None:
        super().__init__(stream=StringIO())


class _Screen(Protocol):
    interval: float  # seconds between two drawings

    def begin(self, name: str) -> None: ...
    def say(self, name: str, text: str) -> None: ...
    def draw(self, name: str, step: int, total: int, parts: list[str]) -> None: ...
    def end(self, name: str, what: str, parts: list[str]) -> None: ...


class _Pipe:
    interval = 10.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, name: str) -> None:
        pass  # a short stage is one line, its last

    def say(self, name: str, text: str) -> None:
        self._print([f"{name}: {text}"])

    def draw(self, name: str, step: int, total: int, parts: list[str]) -> None:
        self._print([f"{name}: {step}/{total}", *parts])

    def end(self, name: str, what: str, parts: list[str]) -> None:
        self._print([f"{name}: {what}", *parts])

    def _print(self, parts: list[str]) -> None:
        print(", ".join(on_one_line(part) for part in parts if part), file=self._stream, flush=True)


class _Terminal:
    interval = 0.1

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, markup=False)
        self._live: Live | None = None

    def begin(self, name: str) -> None:
        self._show(_row(name, "starting"))

    def say(self, name: str, text: str) -> None:
        self._console.print(_row(name, text))

    def draw(self, name: str, step: int, total: int, parts: list[str]) -> None:
        from rich.progress_bar import ProgressBar

        bar = ProgressBar(total=total, completed=step, width=24)
        self._show(_row(name, bar, f"{step}/{total}", "  ".join(parts)))

    def _show(self, row: "Table") -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(row, refresh=True)

    def end(self, name: str, what: str, parts: list[str]) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._console.print(_row(name, what, "  ".join(part for part in parts if part)))


def _row(name: str, *cells: "RenderableType") -> "Table":
    from rich.table import Table

    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(min_width=18, no_wrap=True, style="bold")
    for _ in cells:
        row.add_column(no_wrap=True, overflow="ellipsis")
    row.add_row(cell(name), *(cell(part) if isinstance(part, str) else part for part in cells))
    return row


def _named(key: str, value: float | str) -> str:
    unit = key.removesuffix("_per_second")
    return (
        f"{key.replace('_', ' ')} {_number(value)}" if unit == key else f"{_number(value)} {unit.replace('_', ' ')}/s"
    )


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
