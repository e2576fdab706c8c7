"""The settings of the stages that train on preferences."""

from typing import Literal, Self

from pydantic import Field, model_validator

from afterbase.core.errors import UserError
from afterbase.train.config import EvaluatedTraining


class PairTraining(EvaluatedTraining):
    """What the settings of every training on preference pairs have in common."""

    epochs: int = Field(default=1, ge=1)
    """Passes over the pairs."""
    pairs_per_step: int = Field(default=16, ge=1)
    """Pairs of one update."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the prompts, at least one, whose pairs are kept for the accuracy where no held-out pairs are given."""
    row_tokens: int = Field(default=4096, ge=64)
    """Tokens of both answers of all pairs that are read at once."""


class RewardModelTraining(PairTraining):
    """One run over the preference pairs."""


class Dpo(PairTraining):
    """One run of a policy over the preference pairs, under one of five losses."""

    loss: Literal["sigmoid", "ipo", "simpo", "orpo", "cpo"] = "sigmoid"
    """`sigmoid` is DPO itself. It and `ipo` compare with a reference, the model before training; the others do not."""
    beta: float | None = Field(default=None, gt=0)
    """How dear it is to leave the reference; of `orpo` the weight of the odds ratio. None: 0.1, of `simpo` 2."""
    gamma: float | None = Field(default=None, ge=0)
    """Of `simpo` alone: the margin of rewards that is asked for; None: half of beta."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the pairs whose order is taken to be wrong; not of `ipo` and `orpo`."""
    sft_weight: float | None = Field(default=None, ge=0)
    """Weight of the chosen answers' mean loss of a token beside; None: 1 of `cpo` and `orpo`, otherwise 0."""

    @model_validator(mode="after")
    def _settings_of_the_loss(self) -> Self:
        if self.gamma is not None and self.loss != "simpo":
            raise UserError(
                "`gamma` is a setting of the loss `simpo`",
                got=f"gamma = {self.gamma} with loss = {self.loss}",
                remedy="leave `gamma` out, or use `simpo`",
            )
        if self.label_smoothing and self.loss in ("ipo", "orpo"):
            raise UserError(
                "`label_smoothing` is a setting of the losses `sigmoid`, `simpo` and `cpo`",
                got=f"label_smoothing = {self.label_smoothing} with loss = {self.loss}",
                remedy="leave `label_smoothing` out, or use another loss",
            )
        return self

    @property
    def has_reference(self) -> bool:
        """Whether the loss compares with a reference."""
        return self.loss in ("sigmoid", "ipo")

    @property
    def strength(self) -> float:
        """beta, or its default."""
        return self.beta if self.beta is not None else 2.0 if self.loss == "simpo" else 0.1

    @property
    def target_margin(self) -> float:
        """gamma, or its default."""
        return self.gamma if self.gamma is not None else self.strength / 2

    @property
    def likelihood_weight(self) -> float:
        """sft_weight, or its default."""
        return self.sft_weight if self.sft_weight is not None else float(self.loss in ("cpo", "orpo"))


class Kto(PairTraining):
    """One run over answers that are good or bad; `pairs_per_step` pairs are twice as many answers.

    Those of preference pairs, or rows that have a label each.
    """

    beta: float = Field(default=0.1, gt=0)
    """How dear it is to leave the reference: rewards are beta log(pi / pi_ref)."""
    desirable_weight: float = Field(default=1.0, gt=0)
    """Weight of the loss on good answers."""
    undesirable_weight: float = Field(default=1.0, gt=0)
    """Weight of the loss on bad answers."""
