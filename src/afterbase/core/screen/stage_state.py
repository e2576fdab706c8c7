"""What is known of one stage while it is shown: plain data, which child processes send to their parent."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from afterbase.core.screen.short_forms import duration, named, thinned

State = Literal["waiting", "running", "done", "cached", "stopped"]
_SENT = 32  # values of a history that another process is told, at most


@dataclass
class StageState:
    """One stage. Times are those of one clock, in seconds; `at` is when the last of this was known.

    `numbers` stand in the order in which they are shown, and `history` holds the earlier values of the first of them.
    """

    name: str
    state: State = "waiting"
    began: float = 0.0
    at: float = 0.0
    step: int = 0
    total: int = 0
    numbers: dict[str, float | str] = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    note: str = ""
    first: tuple[float, int] | None = None
    """Time and step of this pass's first news: a resumed stage is not credited with steps of its earlier life."""

    def take(self, now: float, step: int, total: int, numbers: dict[str, float | str]) -> None:
        """`step` of `total` is done; a number that is not among the new ones stays as it was."""
        if self.first is None or step < self.step:  # a smaller step: the stage's next pass
            self.first = (now, step)
        self.at, self.step, self.total = now, step, total
        self.numbers |= numbers
        value = numbers.get(next(iter(self.numbers), ""))
        if isinstance(value, int | float) and math.isfinite(value):
            self.history.append(value)

    @property
    def ended(self) -> bool:
        return self.state in ("done", "cached", "stopped")

    @property
    def seconds(self) -> float:
        """What it took until the last news."""
        return self.at - self.began

    def left(self, now: float) -> float | None:
        """Seconds that it still needs; None before that can be known."""
        if self.state != "running" or self.first is None or self.step == self.first[1]:
            return None
        began, first_step = self.first
        a_step = (self.at - began) / (self.step - first_step)
        return max(0.0, a_step * (self.total - self.step) - (now - self.at))

    @property
    def shown_numbers(self) -> list[str]:
        """The numbers behind their names, and the note; of the numbers after the first those that are known."""
        first = next(iter(self.numbers), "")
        known = [(key, value) for key, value in self.numbers.items() if key == first or value == value]
        return [*(named(key, value) for key, value in known), *([self.note] if self.note else [])]

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        if self.state == "stopped":
            where = f" at {self.step}/{self.total}" if self.total else ""
            return f"stopped{where} after {duration(self.seconds)}"
        return "cached" if self.state == "cached" else f"done in {duration(self.seconds)}"

    def sent(self) -> "StageState":
        """The same, small enough to be sent again and again."""
        return replace(self, numbers=dict(self.numbers), history=thinned(self.history, _SENT))


News = StageState | str
"""What a process sends to its parent: how a stage stands, or a line of text."""
