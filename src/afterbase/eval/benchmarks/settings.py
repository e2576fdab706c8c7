"""How benchmarks are run: what the user may set instead of each protocol's own."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from afterbase.core.errors import UserError
from afterbase.eval.tasks.task import Task

_FRESH = "fresh_seed.txt"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """None: as the benchmark's protocol has it.

    `limit`: the first so many questions. `temperatures` go round over the `runs`. `budgets`: each benchmark under each
    of these limits on the answer's tokens, in the place of `max_tokens`. `twins`: each is followed by its twins.
    """

    limit: int | None = None
    runs: int | None = None
    temperatures: tuple[float, ...] | None = None
    max_tokens: int | None = None
    seed: int = 0
    budgets: tuple[int, ...] = ()
    twins: bool = False

    def __post_init__(self) -> None:
        for name, value in (
            ("--limit", self.limit),
            ("--runs", self.runs),
            ("--max-new-tokens", self.max_tokens),
            *(("--budgets", budget) for budget in self.budgets),
        ):
            if value is not None and value < 1:
                raise UserError(f"`{name}` is 1 or more", got=str(value), remedy="leave it out for the protocol's own")
        if self.temperatures is not None and not all(0 <= t <= 2 for t in self.temperatures):
            raise UserError(
                "a temperature is from 0 to 2", got=str(list(self.temperatures)), remedy="0 is greedy, 0.7 is common"
            )

    def plan(self, task: Task) -> list[float]:
        """The temperature of each run. UserError for a greedy one that is repeated: it would be the same again."""
        temperatures = self.temperatures or (task.temperature,)
        runs = self.runs or (len(self.temperatures) if self.temperatures else task.runs)
        plan = [temperatures[run % len(temperatures)] for run in range(runs)]
        if plan.count(0.0) > 1:
            raise UserError(
                "a greedy answer is the same each time",
                got=f"{plan.count(0.0)} greedy runs of {task.title}",
                remedy="give `--temperatures 0.7`, or `--runs 1`",
            )
        return plan


def fresh_seed(given: int | None, out: Path) -> int:
    """The seed of problems that are made anew: the one given, or the one drawn once for this folder of results."""
    file = out / _FRESH
    if given is not None:
        return given
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{secrets.randbelow(2**31)}\n")
    return int(file.read_text())
