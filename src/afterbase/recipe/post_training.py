"""The whole post-training, from a base model to the final checkpoint."""

from typing import Literal

from pydantic import Field, model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.clean.deliver import RecipeCleaning
from afterbase.data.domains import OPEN, REASONING
from afterbase.data.generate.config import DraftPairs, Preferences, Rejection
from afterbase.data.generate.teacher import Teacher
from afterbase.data.mixture import Mixture
from afterbase.data.review.review_policy import Review
from afterbase.eval.config import Evaluation, Examination
from afterbase.recipe.problem_domains import Domains, Judge, refuse_unclear_domains
from afterbase.recipe.run_settings import ModelRunSettings
from afterbase.train.config import Sft
from afterbase.train.grpo.config import Grpo
from afterbase.train.preference.config import Dpo, Kto, RewardModelTraining


class Expert(Config):
    """How the expert of each reasoning domain is trained."""

    sft: Sft
    """Its supervised fine-tuning, on both kinds of drafts."""
    grpo: Grpo
    """Its reinforcement learning, on the domain's problems."""


class Recipe(ModelRunSettings, Domains):
    """Post-training from a base model to the final checkpoint: the report's sections 5.1 to 5.3."""

    kind: Literal["post-training"]
    """What the recipe makes."""
    baselines: bool = False
    """Also train the two controls of a study: SFT on original responses only, and on the teacher's only."""
    teacher: Teacher | None = None
    """Who writes the drafts of reasoning domains; none: a procedural teacher, which knows the shipped ones alone."""
    review: dict[str, Review] = Field(default_factory=dict)
    """Open domains that people review, each with its policy; the others have the reviews that are shipped."""
    expert: Expert
    """One a reasoning domain, which writes that domain's data."""
    rejection: Rejection = Rejection()
    """How the experts' answers are sampled and chosen."""
    cleaning: RecipeCleaning | None = None
    """Before the mixture: rules on each row, decontamination, near duplicates."""
    mixture: Mixture = Mixture()
    """Limits of the SFT set."""
    sft: Sft
    """The fine-tuning of the base on the SFT set."""
    preferences: Preferences = Preferences()
    """How answers for the preference pairs of open domains are sampled."""
    reward_model: RewardModelTraining | None = None
    """The scalar reward model of open domains, or a judge in its place."""
    judge: Judge | None = None
    """A generative judge in place of a scalar reward model."""
    pairs: DraftPairs = DraftPairs()
    """Of training problems, for a generative judge to learn from; of held-out ones, for the examination."""
    examination: Examination | None = None
    """What the reward model has to show before RL begins."""
    grpo: Grpo
    """The last stage: reinforcement learning on all domains."""
    dpo: Dpo | None = None
    """Beside GRPO, for comparison: the same SFT checkpoint on the reward model's preference pairs."""
    kto: Kto | None = None
    """Beside GRPO, for comparison, on the same pairs."""
    evaluation: Evaluation = Evaluation()
    """How every checkpoint is evaluated on held-out problems."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Recipe":
        found: list[UserError] = []
        for check in (self._refuse_unknown_reviews, self._refuse_missing_experts, self._refuse_unclear_reward):
            with collect(found):
                check()
        with collect(found):
            refuse_unclear_domains(self, self.evaluation)
        refuse(found)
        return self

    def _refuse_unknown_reviews(self) -> None:
        refuse(
            UserError(
                "people review the open domains of a recipe",
                got=f"`review.{name}`, and open domains {self.open}",
                remedy=f"remove the table, or add {', '.join(OPEN)} to `domains`",
            )
            for name in self.review
            if name not in self.open
        )

    def _refuse_missing_experts(self) -> None:
        if not self.reasoning:
            raise UserError(
                "a recipe has at least one reasoning domain, whose expert writes the data",
                got=f"domains {sorted(self.domains)}",
                remedy=f"add one of {', '.join(REASONING)}, or [families.NAME] or [sources.NAME] with a [teacher]",
            )
        if self.teacher is None and (self.families or self.sources):
            raise UserError(
                "families and sources have no procedural teacher",
                got=f"{', '.join([*self.families, *self.sources])}, and no [teacher]",
                remedy="add a [teacher], such as an endpoint",
            )

    def _refuse_unclear_reward(self) -> None:
        if self.open and (self.reward_model is None) == (self.judge is None):
            raise UserError(
                "open domains have one reward model: a scalar one, or a judge",
                got=f"{', '.join(self.open)} with {'neither' if self.judge is None else 'both'}",
                remedy="give either [reward_model] or [judge]",
            )

    @property
    def reasoning(self) -> list[str]:
        return [name for name in self.domains if name in REASONING] + [*self.families, *self.sources]

    @property
    def open(self) -> list[str]:
        return [name for name in self.domains if name in OPEN]
