"""The settings of the stages that train on preferences."""

from pydantic import Field

from afterbase.train.config import Training


class PairTraining(Training):
    """What the settings of every training on preference pairs have in common."""

    epochs: int = Field(ge=1)
    pairs_per_step: int = Field(ge=1)
    held_out: float = Field(gt=0, lt=1)
    """Share of the prompts whose pairs are kept for the accuracy."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of both answers of all pairs that are read at once."""


class RewardModelTraining(PairTraining):
    """One run over the preference pairs."""


class PreferenceTraining(PairTraining):
    """One run of a policy over the preference pairs."""

    beta: float = Field(default=0.1, gt=0)
    """How dear it is to leave the reference: rewards are beta log(pi / pi_ref)."""


class Dpo(PreferenceTraining):
    """One run over the preference pairs."""


class Kto(PreferenceTraining):
    """One run over the answers of the preference pairs; `pairs_per_step` pairs are twice as many answers."""

    desirable_weight: float = Field(default=1.0, gt=0)
    undesirable_weight: float = Field(default=1.0, gt=0)
