"""What a recipe asks of its reviewers, and whether they have done it."""

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from afterbase.core.config import Config, How
from afterbase.data.review.agreement import Agreement

REASONS = (
    "off_topic",
    "wrong_fact",
    "unsafe",
    "out_of_persona",
    "repeats",
    "too_long",
    "cut_off",
    "clash",
    "slip",
    "awkward",
)


class Review(Config):
    """People review an open domain's drafts before anything is trained on them."""

    share: float = Field(default=1.0, gt=0, le=1)
    """Of the drafts, that must be reviewed; which ones is drawn by stratum."""
    unreviewed: Literal["drop", "keep"] = "drop"
    """What becomes of the others."""
    double: float = Field(default=0.2, ge=0, le=1)
    """Share of the reviewed drafts that two people review without seeing each other."""
    min_alpha: float | None = Field(default=None, gt=-1, le=1)
    """Krippendorff's alpha that those must reach."""
    order: Literal["stratified", "uncertain"] = "stratified"
    """`uncertain`: drafts that earlier verifiers were least certain of come first."""
    seed: int = 0
    """Of the draw."""
    reasons: tuple[str, ...] = Field(default=REASONS, min_length=1, max_length=10)
    """What a draft can be rejected for: one key each."""
    guideline: How[str | None] = None
    """A Markdown file that reviewers can read; none: the one that is shipped."""
    database: How[str | None] = None
    """`postgresql+psycopg://user@host/name`; none: an SQLite file beside the run."""

    def reviewed_of(self, drafts: int) -> int:
        """How many of so many drafts are reviewed."""
        return _count(self.share, drafts)

    def twice_of(self, reviewed: int) -> int:
        """How many of so many reviewed drafts are reviewed twice."""
        return _count(self.double, reviewed)


def shortfall(policy: Review, *, undecided: int, conflicts: int, agreement: Callable[[], Agreement]) -> list[str]:
    """What is missing until the stage may go on, in words; nothing: it may.

    `agreement` is asked for once everything is decided. Reviewers who never disagreed pass any `min_alpha`, also where
    alpha is not defined without a second category.
    """
    missing = []
    if undecided:
        missing.append(f"{undecided} {'draft' if undecided == 1 else 'drafts'} to review")
    if conflicts:
        missing.append(f"{conflicts} {'conflict' if conflicts == 1 else 'conflicts'} to settle")
    if missing or policy.min_alpha is None:
        return missing
    found = agreement()
    if found.value is not None and found.value < policy.min_alpha and found.disagreements:
        interval = "" if found.low is None else f" (95 % interval {found.low:.3f} to {found.high:.3f})"
        missing.append(f"an alpha of {policy.min_alpha}: it is {found.value:.3f}{interval} over {found.units} drafts")
    return missing


def _count(share: float, of: int) -> int:
    return min(of, math.ceil(round(share * of, 9)))  # 0.07 * 100 is a little more than 7
