"""Plain lines for pipes, files and notebooks: one for each stage when it ends, at most one a minute while it runs."""

from typing import TextIO

from afterbase.core.sanitize import on_one_line, sanitized
from afterbase.core.screen.run_state import RunState
from afterbase.core.screen.short_forms import about, duration
from afterbase.core.screen.stage_state import StageState

_EVERY = 60.0  # seconds between two lines of a running stage


class PipeScreen:
    """Writes what there is to say on `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[str, float] = {}  # when a running stage had its last line
        self._run: RunState | None = None

    def open(self, run: RunState, now: float) -> None:
        self._run = run

    def see(self, stage: StageState, now: float) -> None:
        if self._run is not None:
            self._run.see(stage)
        if stage.ended:
            self._told.pop(stage.name, None)
            self._print(stage.name, [stage.outcome, *stage.shown_numbers])
        elif now - self._told.setdefault(stage.name, stage.began) >= _EVERY:
            self._told[stage.name] = now
            left, of_run = stage.left(now), None if self._run is None else self._run.left(now)
            times = [] if left is None else [f"{duration(left)} left"]
            whole = [] if of_run is None else [f"{about(of_run)} left in all"]
            self._print(stage.name, [f"{stage.step}/{stage.total}", *times, *stage.shown_numbers, *whole])

    def tick(self, now: float) -> None:
        pass  # a line that was written stays as it is

    def say(self, text: str, now: float) -> None:
        print(sanitized(text), file=self._stream, flush=True)

    def close(self, now: float) -> None:
        self._run = None

    def _print(self, name: str, parts: list[str]) -> None:
        print(f"{on_one_line(name)}: {', '.join(map(on_one_line, parts))}", file=self._stream, flush=True)
