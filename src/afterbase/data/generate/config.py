"""The settings of the stages that generate data."""

from pydantic import Field

from afterbase.core.config import Config, How
from afterbase.data.generate.selection import Rules


class DraftPairs(Config):
    """How many answers the pairs are made of."""

    drafts: int = Field(default=3, ge=1)
    """Good and flawed drafts of each prompt, of which one pair is made."""
    samples: int = Field(default=4, ge=0)
    """The checkpoint's own answers to each prompt, of which one pair is made."""
    temperature: float = Field(default=1.2, gt=0)
    """Of the checkpoint's own answers."""
    max_new_tokens: int = Field(default=80, ge=1)
    """Tokens of such an answer at most."""


class Judgements(Config):
    """How judgements are made and which are kept."""

    comparisons: int = Field(default=4, ge=1)
    """Judgements of each pair, its answers in random order."""
    scores: int = Field(default=4, ge=1)
    """Judgements of each answer for itself."""
    min_agreement: float = Field(default=0.5, ge=0, lt=1)
    """The mean verdict of the comparisons, 1 for the better answer, -1 for the worse, 0 for a tie, has to be above."""
    longest_ratio: float = Field(default=1.5, ge=1)
    """Pairs whose answers differ more in length, in characters, are left out."""


class Preferences(Config):
    """How answers for the pairs are sampled, and pairs of one's own."""

    path: How[str | None] = None
    """Preference pairs of one's own beside them: a file, a pattern, a folder, or hub:ORG/NAME (docs/data.md)."""

    samples: int = Field(default=4, ge=2)
    """Answers to a prompt, of which one pair is made."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Tokens of an answer at most."""


class Rejection(Config):
    """How answers are sampled and how many survive."""

    samples: int = Field(default=4, ge=1)
    """Answers to a problem."""
    keep: int = Field(default=1, ge=1)
    """Most answers kept of a problem: its shortest right ones, or those that `rules.choose` takes."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Tokens of an answer at most."""
    rules: Rules | None = None
    """What a right answer has to be, which ones are taken, and how hard their problems are."""
