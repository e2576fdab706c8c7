"""The whole post-training, from a base model to the final checkpoint."""

from typing import Literal

from pydantic import Field, model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.clean.deliver import RecipeCleaning
from afterbase.data.domains import OPEN, REASONING
from afterbase.data.generate.config import DraftPairs, Preferences, Rejection
from afterbase.data.generate.open_tables import OpenDomain
from afterbase.data.generate.teacher import Teacher
from afterbase.data.mixture import Mixture
from afterbase.data.problems.problems import Problems
from afterbase.data.problems.puzzle_families import Family
from afterbase.data.problems.source_rows import Source
from afterbase.data.review.review_policy import Review
from afterbase.eval.config import Evaluation, Examination
from afterbase.recipe.own_domains import TaughtSource, payer_of, refuse_unclear_own, teacher_of
from afterbase.recipe.problem_domains import Domains, Judge, refuse_unclear_domains
from afterbase.recipe.run_settings import ModelRunSettings
from afterbase.train.config import Sft
from afterbase.train.grpo.config import Grpo
from afterbase.train.preference.config import Dpo, Kto, RewardModelTraining
from afterbase.verify.check import NONE


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
    sources: dict[str, TaughtSource] = Field(default_factory=dict)  # pyright: ignore[reportIncompatibleVariableOverride]
    """From tables of yours."""
    open: dict[str, OpenDomain] = Field(default_factory=dict)
    """Open domains of yours, from tables of prompts."""
    review: dict[str, Review] = Field(default_factory=dict)
    """Open domains that people review, each with its policy. The shipped one has a review that is shipped; drafts of
    yours are taken as they are."""
    expert: Expert | None = None
    """One a reasoning domain, which writes that domain's data; a recipe with reasoning domains needs it."""
    experts: dict[str, Expert] = Field(default_factory=dict)
    """In place of `expert`, for the reasoning domain of that name."""
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
    grpo: Grpo | None = None
    """The last stage: reinforcement learning on all domains that have a reward; without one of them, none."""
    dpo: Dpo | None = None
    """Beside GRPO, for comparison: the same SFT checkpoint on the reward model's preference pairs."""
    kto: Kto | None = None
    """Beside GRPO, for comparison, on the same pairs."""
    evaluation: Evaluation = Evaluation()
    """How every checkpoint is evaluated on held-out problems."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Recipe":
        found: list[UserError] = []
        for check in (
            self._refuse_unknown_reviews,
            self._refuse_missing_experts,
            self._refuse_missing_teacher,
            self._refuse_unclear_reward,
            lambda: refuse_unclear_own(self),
            lambda: refuse_unclear_domains(self, self.evaluation),
        ):
            with collect(found):
                check()
        refuse(found)
        return self

    def _refuse_unknown_reviews(self) -> None:
        refuse(
            UserError(
                "people review the open domains of a recipe",
                got=f"`review.{name}`, and open domains {self.open_domains}",
                remedy=f"remove the table, or add {', '.join(OPEN)} to `domains`, or [open.{name}]",
            )
            for name in self.review
            if name not in self.open_domains
        )

    def _refuse_missing_experts(self) -> None:
        if not self.reasoning and not self.open:
            raise UserError(
                "a recipe has at least one reasoning domain, whose expert writes the data, or an open one of yours",
                got=f"domains {sorted(self.domains)}",
                remedy=f"add one of {', '.join(REASONING)}, or [families.NAME] or [sources.NAME] with a [teacher], "
                "or [open.NAME]",
            )
        without = [name for name in self.reasoning if name not in self.experts]
        if self.expert is None and without:
            raise UserError(
                "each reasoning domain has an expert",
                got=f"{', '.join(without)}, and no [expert]",
                remedy=f"add [expert], or [experts.{without[0]}]",
            )
        refuse(
            UserError(
                "`experts` names reasoning domains of the recipe",
                got=f"`experts.{name}`",
                remedy=f"use some of {', '.join(self.reasoning) or 'none'}",
            )
            for name in self.experts
            if name not in self.reasoning
        )
        if self.grpo is None and self.rewarded:
            raise UserError(
                "reinforcement learning on domains with a reward has its settings",
                got=f"{', '.join(self.rewarded)}, and no [grpo]",
                remedy="add [grpo]",
            )

    def _refuse_missing_teacher(self) -> None:
        without = [name for name in (*self.families, *self.sources) if self.teacher_of(name) is None]
        if without:
            raise UserError(
                "families and sources have no procedural teacher",
                got=f"{', '.join(without)}, and no [teacher]",
                remedy="add a [teacher], such as an endpoint",
            )

    def _refuse_unclear_reward(self) -> None:
        by_model = self.by_model
        if by_model and (self.reward_model is None) == (self.judge is None):
            raise UserError(
                "open domains have one reward model: a scalar one, or a judge",
                got=f"{', '.join(by_model)} with {'neither' if self.judge is None else 'both'}",
                remedy="give either [reward_model] or [judge]",
            )

    @property
    def reasoning(self) -> list[str]:
        return [name for name in self.domains if name in REASONING] + [*self.families, *self.sources]

    @property
    def open_domains(self) -> list[str]:
        return [*(name for name in self.domains if name in OPEN), *self.open]

    @property
    def names(self) -> list[str]:
        return [*super().names, *self.open]

    def of(self, name: str) -> Problems | Family | Source:
        return self.open[name].source if name in self.open else super().of(name)

    def table_of(self, name: str) -> str:
        return "open" if name in self.open else super().table_of(name)

    @property
    def rewarded(self) -> list[str]:
        """The domains that take part in reinforcement learning."""
        return [name for name in self.names if name not in self.open or self.open[name].reward != NONE]

    @property
    def by_model(self) -> list[str]:
        """The domains that a reward model or a judge rewards."""
        return [name for name in self.open_domains if name not in self.open or self.open[name].by_model]

    def expert_of(self, name: str) -> Expert:
        """How the expert of a reasoning domain is trained."""
        expert = self.experts.get(name, self.expert)
        assert expert is not None, "checked when the recipe was read"
        return expert

    def all_grpo(self) -> list[Grpo]:
        """The settings of all reinforcement learning: of each expert, and of the last stage."""
        return [*(self.expert_of(name).grpo for name in self.reasoning), *([self.grpo] if self.grpo else [])]

    def teachers(self) -> list[Teacher]:
        """Those of all domains; a teacher of several domains is there once for each."""
        found = [self.teacher_of(name) for name in self.names]
        return [teacher for teacher in found if teacher is not None]

    def teacher_of(self, name: str) -> Teacher | None:
        """Who writes the drafts of a domain; None: a rule, or a column of its table."""
        return teacher_of(self, name)

    def payer_of(self, name: str) -> str:
        """Under which name a domain's teacher is paid."""
        return payer_of(self, name)
