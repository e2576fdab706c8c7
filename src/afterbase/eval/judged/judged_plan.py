"""What a judged evaluation has to do; mistakes in it are errors before anything is read or asked."""

from dataclasses import dataclass
from pathlib import Path

from afterbase.core.errors import UserError

TASKS = ("arena-hard", "alpaca-eval", "reward-bench")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who is judged on what, by whom; models and judges are folders, shipped names or URLs."""

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    baseline: str | None
    judges: tuple[str, ...]
    data: Path
    out: Path
    limit: int | None
    max_tokens: int
    judge_tokens: int
    votes: int
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise UserError("judged benchmarks have names", got=str(unknown), remedy=f"use some of {', '.join(TASKS)}")
        if self.wants("arena-hard") and self.baseline is None:
            raise UserError("Arena-Hard compares with a baseline", got="none", remedy="add --baseline MODEL")
        if not self.models and self.tasks != ("reward-bench",):
            raise UserError("a judged evaluation is of one model or more", got="none", remedy="name MODEL...")
        for name, value in (
            ("--limit", self.limit), ("--votes", self.votes), ("--max-new-tokens", self.max_tokens),
            ("--judge-tokens", self.judge_tokens),
        ):  # fmt: skip
            if value is not None and value < 1:
                raise UserError(f"`{name}` is 1 or more", got=str(value), remedy="raise it")

    def wants(self, task: str) -> bool:
        return task in self.tasks
