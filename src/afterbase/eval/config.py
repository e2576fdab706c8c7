"""The settings of evaluations."""

from pydantic import Field

from afterbase.core.config import Config


class Evaluation(Config):
    """What the final table is made of."""

    problems: int | None = Field(default=None, ge=1)
    """Held-out problems a domain: the first of its test split; none: all of it."""
    samples: int = Field(default=4, ge=0)
    """Sampled answers a problem, beside the greedy one; 8 and more give maj@8."""
    temperature: float = Field(default=0.7, gt=0)
    """Of the sampled answers."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Tokens of an answer at most."""


class Examination(Config):
    """How many pairs are asked about, and what a reward model has to reach; a limit that is not given is not held."""

    pairs: int = Field(default=200, ge=10)
    """At most so many, drawn by chance."""
    min_accuracy: float | None = Field(default=None, ge=0, le=1)
    """The lower end of the 95 % interval has to reach it, so that no luck with a few pairs passes."""
    max_failed: float | None = Field(default=None, ge=0, le=1)
    """Share of pairs on which the judge failed."""
    max_calibration_error: float | None = Field(default=None, ge=0, le=1)
    """Of the probabilities that it gives: the expected calibration error, in [0, 1]."""
    max_position_bias: float | None = Field(default=None, ge=0, le=1)
    """Of the comparisons; either sign."""
    max_length_bias: float | None = Field(default=None, ge=0, le=1)
    """Either sign."""
    min_resampled: float | None = Field(default=None, ge=0, le=1)
    """Share of comparisons with the same verdict when they are sampled again."""
    min_paraphrased: float | None = Field(default=None, ge=0, le=1)
    """Share of comparisons with the same verdict in other words."""
    max_steered: float | None = Field(default=None, ge=0, le=1)
    """Share of comparisons that a sentence within the worse answer turns."""
