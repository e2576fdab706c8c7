"""Reinforcement learning alone, in variants that are compared."""

from typing import Literal

from pydantic import Field, model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.domains import OPEN, REASONING
from afterbase.data.generate.config import DraftPairs
from afterbase.eval.config import Evaluation, Examination
from afterbase.recipe.problem_domains import Domains, Judge, refuse_unclear_domains
from afterbase.recipe.run_settings import ModelRunSettings
from afterbase.train.config import Sft
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.preference.config import RewardModelTraining


class Variant(Config):
    """What one of several runs has in place of `grpo`'s own."""

    objective: Objective | None = None
    """In place of `grpo.objective`."""
    temperature: float | None = Field(default=None, gt=0)
    """In place of `grpo.temperature`."""
    reward: Literal["scalar", "judge"] | None = None
    """Which of the recipe's reward models, where it has both."""


class RlRecipe(ModelRunSettings, Domains):
    """Reinforcement learning alone: one model, problems that a rule or a reward model decides, and variants."""

    kind: Literal["rl"]
    """What the recipe makes."""
    sft: Sft | None = None
    """Before, as an expert's: on both kinds of drafts of `domains`, or on what people reviewed."""
    reward_model: RewardModelTraining | None = None
    """A scalar reward model, trained on `pairs`."""
    judge: Judge | None = None
    """A generative judge beside, or in place of, the scalar reward model."""
    pairs: DraftPairs = DraftPairs()
    """Of training problems, to learn from; of held-out ones, for the examination."""
    examination: Examination | None = None
    """What each reward model has to show before RL begins."""
    grpo: Grpo
    """The settings that all variants share."""
    variants: dict[str, Variant] = Field(default_factory=dict)
    """Each under a name of its own; none: `grpo` alone."""
    evaluation: Evaluation = Evaluation()
    """How every checkpoint is evaluated on held-out problems."""

    @model_validator(mode="after")
    def _something_to_solve(self) -> "RlRecipe":
        found: list[UserError] = []
        if not self.names:
            found.append(
                UserError(
                    "an rl recipe has at least one domain, family or source",
                    got="none",
                    remedy="add [domains], [families.NAME] or [sources.NAME]",
                )
            )
        if self.sft is not None and (self.families or self.sources):
            found.append(
                UserError(
                    "families and sources have no worked answers to fine-tune on",
                    got=f"[sft] and {', '.join([*self.families, *self.sources])}",
                    remedy="leave [sft] out, or use `domains` alone",
                )
            )
        with collect(found):
            _refuse_unclear_rewards(self)
        with collect(found):
            refuse_unclear_domains(self, self.evaluation)
        refuse(found)
        return self

    @property
    def open_domains(self) -> list[str]:
        return [name for name in self.domains if name in OPEN]

    def reward_of(self, run: str) -> Literal["scalar", "judge"] | None:
        """The reward model of one of `runs`; None where rules decide all."""
        if not self.open_domains:
            return None
        only = "judge" if self.reward_model is None else "scalar"
        return (self.variants[run].reward if self.variants else None) or only

    def runs(self) -> dict[str, Grpo]:
        """The runs that are compared, by name."""
        if not self.variants:
            return {"GRPO": self.grpo}
        return {
            name: self.grpo.model_copy(update={k: v for k, v in variant if v is not None and k != "reward"})
            for name, variant in self.variants.items()
        }


def _refuse_unclear_rewards(recipe: RlRecipe) -> None:
    """Each run of open domains has one reward model, and rules need none."""
    given = [name for name, x in (("scalar", recipe.reward_model), ("judge", recipe.judge)) if x is not None]
    if not recipe.open_domains:
        if given:
            raise UserError(
                "a reward model judges domains that no rule decides",
                got=f"a {' and a '.join(given)} one, and domains {', '.join([*recipe.domains, *recipe.families])}",
                remedy=f"leave it out, or add one of {', '.join(OPEN)}",
            )
        return
    if not given:
        raise UserError(
            "`domains` of an rl recipe are those that a rule decides, or it has a reward model",
            got=f"`domains.{recipe.open_domains[0]}`",
            remedy=f"use some of {', '.join(REASONING)}, or `families`, or add [reward_model] or [judge]",
        )
    named = {name: variant.reward for name, variant in recipe.variants.items()} or {"grpo": None}
    for name, reward in named.items():
        if (reward is None and len(given) > 1) or (reward is not None and reward not in given):
            raise UserError(
                "each run has one reward model",
                got=f"`{name}` with `reward = {reward}`, and a recipe with {' and '.join(given)}",
                remedy=f'set `reward = "{given[0]}"` in [variants.{name}], or give one reward model only',
            )
