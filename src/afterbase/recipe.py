"""The typed recipe: what `recipes/*.toml` may say. Settings lie with their stage or in `config.py`; here they meet."""

import contextlib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from afterbase.core.config import Config, How, load_toml
from afterbase.core.errors import UserError
from afterbase.data.clean.deliver import RecipeCleaning
from afterbase.data.corpus import Corpus, WorkedCorpus
from afterbase.data.domains import DOMAINS, OPEN, REASONING
from afterbase.data.generate.config import DraftPairs, Judgements, Preferences, Rejection
from afterbase.data.generate.teacher import Teacher
from afterbase.data.mixture import Mixture
from afterbase.data.problems.problems import Problems
from afterbase.data.problems.puzzle_families import Family
from afterbase.data.problems.sources import Source
from afterbase.data.review.review_policy import Review
from afterbase.eval.config import Evaluation, Examination
from afterbase.reward.config import JudgeConfig
from afterbase.train.config import Architecture, Pretraining, Sft, TokenizerSettings
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.preference.config import Dpo, Kto, RewardModelTraining


class Expert(Config):
    """How the expert of each reasoning domain is trained."""

    sft: Sft
    grpo: Grpo


class Judge(Config):
    """A generative judge as the reward model of domains without a rule (`docs/rewards-model.md`)."""

    kind: Literal["generative", "self", "endpoint"]
    """A model that is trained to judge; the SFT checkpoint itself; or a server."""
    asked: JudgeConfig = JudgeConfig()
    judgements: Judgements = Judgements()
    """What a generative one learns from."""
    training: Sft | None = None
    """How a generative one learns, from the SFT checkpoint."""

    @model_validator(mode="after")
    def _complete(self) -> "Judge":
        for given, key, kind in (
            (self.training is not None, "training", "generative"),
            (self.asked.endpoint is not None, "asked.endpoint", "endpoint"),
        ):
            if given != (self.kind == kind):
                raise UserError(
                    f"a judge has `{key}` if and only if it is of kind `{kind}`",
                    got=f"kind = {self.kind} {'with' if given else 'without'} `{key}`",
                    remedy=f"{'leave out' if given else 'add'} `{key}`, or change `kind`",
                )
        return self


class Domains(Config):
    """What a recipe's problems are about, each under a name of its own."""

    domains: dict[str, Problems] = Field(default_factory=dict)
    """Shipped ones."""
    families: dict[str, Family] = Field(default_factory=dict)
    """Of reasoning-gym."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """From tables of yours."""

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.domains, *self.families, *self.sources]

    def of(self, name: str) -> Problems | Family | Source:
        """How many problems, and where from."""
        return {**self.domains, **self.families, **self.sources}[name]


class Recipe(Domains):
    """Post-training from a base model to the final checkpoint: the report's sections 5.1 to 5.3."""

    kind: Literal["post-training"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    base: str
    """A shipped model's name, or the path of a Hugging Face folder."""
    threads: int = Field(ge=1)
    """Threads of each process. More than one moves the last digits; on shared cores it is slower, too."""
    processes: How[int] = Field(default=1, ge=1)
    """Experts and seeds that are worked on at once."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """The whole recipe runs once a seed; evaluations pool them."""
    baselines: bool = False
    """Also train the two controls of a study: SFT on original responses only, and on the teacher's only."""
    teacher: Teacher | None = None
    """Who writes the drafts of reasoning domains; none: a procedural teacher, which knows the shipped ones alone."""
    review: dict[str, Review] = Field(default_factory=dict)
    """Open domains that people review, each with its policy; the others have the reviews that are shipped."""
    expert: Expert
    rejection: Rejection
    cleaning: RecipeCleaning | None = None
    """Before the mixture: rules on each row, decontamination, near duplicates."""
    mixture: Mixture
    sft: Sft
    preferences: Preferences
    reward_model: RewardModelTraining | None = None
    """The scalar reward model of open domains, or a judge in its place."""
    judge: Judge | None = None
    pairs: DraftPairs = DraftPairs()
    """Of training problems, for a generative judge to learn from; of held-out ones, for the examination."""
    examination: Examination | None = None
    """What the reward model has to show before RL begins."""
    grpo: Grpo
    dpo: Dpo | None = None
    """Beside GRPO, for comparison: the same SFT checkpoint on the reward model's preference pairs."""
    kto: Kto | None = None
    evaluation: Evaluation

    @model_validator(mode="after")
    def _known_domains(self) -> "Recipe":
        _refuse_unknown_domains("domains", self.domains)
        _refuse_names_twice(self)
        for name in self.names:
            _refuse_few_tests(f"{_table(self, name)}.{name}", self.of(name).test, self.evaluation)
        for name in self.review:
            if name not in self.open:
                raise UserError(
                    "people review the open domains of a recipe",
                    got=f"`review.{name}`, and open domains {self.open}",
                    remedy=f"remove the table, or add {', '.join(OPEN)} to `domains`",
                )
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
        if self.open and (self.reward_model is None) == (self.judge is None):
            raise UserError(
                "open domains have one reward model: a scalar one, or a judge",
                got=f"{', '.join(self.open)} with {'neither' if self.judge is None else 'both'}",
                remedy="give either [reward_model] or [judge]",
            )
        return self

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return _refuse_equal_seeds(seeds)

    @property
    def reasoning(self) -> list[str]:
        return [name for name in self.domains if name in REASONING] + [*self.families, *self.sources]

    @property
    def open(self) -> list[str]:
        return [name for name in self.domains if name in OPEN]


class Variant(Config):
    """What one of several runs has in place of `grpo`'s own."""

    objective: Objective | None = None
    temperature: float | None = Field(default=None, gt=0)
    reward: Literal["scalar", "judge"] | None = None
    """Which of the recipe's reward models, where it has both."""


class RlRecipe(Domains):
    """Reinforcement learning alone: one model, problems that a rule or a reward model decides, and variants."""

    kind: Literal["rl"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    base: str
    """The model to start from: a shipped model's name, or the path of a Hugging Face folder."""
    threads: int = Field(ge=1)
    processes: How[int] = Field(default=1, ge=1)
    """Variants and seeds that are worked on at once."""
    seeds: tuple[int, ...] = Field(min_length=1)
    sft: Sft | None = None
    """Before, as an expert's: on both kinds of drafts of `domains`, or on what people reviewed."""
    reward_model: RewardModelTraining | None = None
    """A scalar reward model, trained on `pairs`."""
    judge: Judge | None = None
    pairs: DraftPairs = DraftPairs()
    """Of training problems, to learn from; of held-out ones, for the examination."""
    examination: Examination | None = None
    """What each reward model has to show before RL begins."""
    grpo: Grpo
    variants: dict[str, Variant] = Field(default_factory=dict)
    """Each under a name of its own; none: `grpo` alone."""
    evaluation: Evaluation

    @model_validator(mode="after")
    def _something_to_solve(self) -> "RlRecipe":
        _refuse_unknown_domains("domains", self.domains)
        _refuse_names_twice(self)
        _refuse_unclear_rewards(self)
        if not self.names:
            raise UserError(
                "an rl recipe has at least one domain, family or source",
                got="none",
                remedy="add [domains], [families.NAME] or [sources.NAME]",
            )
        if self.sft is not None and (self.families or self.sources):
            raise UserError(
                "families and sources have no worked answers to fine-tune on",
                got=f"[sft] and {', '.join([*self.families, *self.sources])}",
                remedy="leave [sft] out, or use `domains` alone",
            )
        for name in self.names:
            _refuse_few_tests(f"{_table(self, name)}.{name}", self.of(name).test, self.evaluation)
        return self

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        return _refuse_equal_seeds(seeds)

    @property
    def open(self) -> list[str]:
        return [name for name in self.domains if name in OPEN]

    def reward_of(self, run: str) -> Literal["scalar", "judge"] | None:
        """The reward model of one of `runs`; None where rules decide all."""
        if not self.open:
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


class BaseControl(Config):
    """A shorter pair of runs, with and without balancing, to compare expert loads."""

    steps: int = Field(ge=1)


class BaseRecipe(Config):
    """How a base model is pre-trained."""

    kind: Literal["base"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    threads: int = Field(ge=1)
    corpus: Corpus
    tokenizer: TokenizerSettings
    architecture: Architecture
    pretraining: Pretraining
    worked: WorkedCorpus
    midtraining: Pretraining
    control: BaseControl

    @model_validator(mode="after")
    def _known_domains(self) -> "BaseRecipe":
        _refuse_unknown_domains("corpus.documents", self.corpus.documents)
        return self


def _refuse_unclear_rewards(recipe: RlRecipe) -> None:
    """Each run of open domains has one reward model, and rules need none."""
    given = [name for name, x in (("scalar", recipe.reward_model), ("judge", recipe.judge)) if x is not None]
    if not recipe.open:
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
            got=f"`domains.{recipe.open[0]}`",
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


def _table(recipe: Recipe | RlRecipe, name: str) -> str:
    return next(table for table in ("domains", "families", "sources") if name in getattr(recipe, table))


def _refuse_names_twice(recipe: Recipe | RlRecipe) -> None:
    """Names of families and sources are domains of samples, beside those that are shipped."""
    names = [*recipe.families, *recipe.sources]
    twice = sorted({name for name in names if name in DOMAINS or names.count(name) > 1})
    if twice:
        raise UserError(
            "families and sources have names of their own",
            got=f"{', '.join(twice)} twice",
            remedy="rename the family or the source",
        )


def _refuse_few_tests(name: str, test: int, evaluation: Evaluation) -> None:
    if test < evaluation.problems:
        raise UserError(
            "a domain needs at least as many test problems as the evaluation asks for",
            got=f"{name}.test = {test}, evaluation.problems = {evaluation.problems}",
            remedy=f"raise {name}.test or lower evaluation.problems",
        )


def _refuse_equal_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise UserError("a seed twice is the same run twice", got=f"{list(seeds)}", remedy="make the seeds distinct")
    return seeds


def _refuse_unknown_domains(key: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in DOMAINS:
            raise UserError(
                f"`{key}` names domains that exist",
                got=f"`{key}.{name}`",
                remedy=f"use some of {', '.join(DOMAINS)}",
            )


_KINDS = {"post-training": Recipe, "rl": RlRecipe, "base": BaseRecipe}


def load_recipe(path: Path) -> Recipe | RlRecipe | BaseRecipe:
    """A recipe of any kind; UserError for anything that it may not say."""
    kind = "post-training"
    if path.is_file():
        with contextlib.suppress(tomllib.TOMLDecodeError, UnicodeDecodeError):  # load_toml says what is wrong and where
            kind = tomllib.loads(path.read_text()).get("kind", kind)
    if kind not in list(_KINDS):
        raise UserError(
            "`kind` says what a recipe makes",
            got=f"kind = {kind!r} in {path}",
            remedy=f"use one of {', '.join(_KINDS)}",
        )
    return load_toml(path, _KINDS[kind])
