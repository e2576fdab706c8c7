"""What problems a recipe has, who judges those that no rule decides, and the checks that its kinds share."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, field_validator, model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.config import Judgements
from afterbase.data.problems.problems import Problems
from afterbase.data.problems.puzzle_families import Family
from afterbase.data.problems.source_rows import Source
from afterbase.eval.config import Evaluation
from afterbase.reward.config import JudgeConfig
from afterbase.train.config import Sft


class Domains(Config):
    """What a recipe's problems are about, each under a name of its own."""

    domains: dict[str, Problems] = Field(default_factory=dict)
    """Shipped ones."""
    families: dict[str, Family] = Field(default_factory=dict)
    """Of reasoning-gym."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """From tables of yours."""

    @field_validator("domains")
    @classmethod
    def _known(cls, domains: dict[str, Problems]) -> dict[str, Problems]:
        refuse_unknown_domains("domains", domains)
        return domains

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*self.domains, *self.families, *self.sources]

    def of(self, name: str) -> Problems | Family | Source:
        """How many problems, and where from."""
        return {**self.domains, **self.families, **self.sources}[name]

    def table_of(self, name: str) -> str:
        """The recipe's table that holds a domain."""
        return next(table for table in ("domains", "families", "sources") if name in getattr(self, table))


class Judge(Config):
    """A generative judge as the reward model of domains without a rule (`docs/rewards-model.md`)."""

    kind: Literal["generative", "self", "endpoint"]
    """A model that is trained to judge; the SFT checkpoint itself; or a server."""
    asked: JudgeConfig = JudgeConfig()
    """How its judgements are sampled and voted."""
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


def refuse_unclear_domains(recipe: Domains, evaluation: Evaluation) -> None:
    """UserError where two domains have one name, and where an evaluation asks for more problems than one has."""
    found: list[UserError] = []
    with collect(found):
        _refuse_names_twice(recipe)
    for name in recipe.names:
        with collect(found):
            _refuse_few_tests(f"{recipe.table_of(name)}.{name}", recipe.of(name).test, evaluation)
    refuse(found)


def _refuse_names_twice(recipe: Domains) -> None:
    """Names of families, sources and open domains are domains of samples, beside those that are shipped."""
    names = recipe.names[len(recipe.domains) :]
    twice = sorted({name for name in names if name in DOMAINS or names.count(name) > 1})
    if twice:
        raise UserError(
            "families, sources and open domains have names of their own",
            got=f"{', '.join(twice)} twice",
            remedy="rename the family, the source or the open domain",
        )


def _refuse_few_tests(name: str, test: int, evaluation: Evaluation) -> None:
    if test == 0:
        raise UserError(
            "an evaluation needs problems that are kept for tests",
            got=f"{name}.test = 0",
            remedy=f"set {name}.test, such as to 48",
        )
    if evaluation.problems is not None and test < evaluation.problems:
        raise UserError(
            "a domain needs at least as many test problems as the evaluation asks for",
            got=f"{name}.test = {test}, evaluation.problems = {evaluation.problems}",
            remedy=f"raise {name}.test or lower evaluation.problems",
        )


def refuse_unknown_domains(key: str, names: Iterable[str]) -> None:
    """UserError where a name is no shipped domain; `key` is the recipe's table that holds them."""
    refuse(
        UserError(
            f"`{key}` names domains that exist",
            got=f"`{key}.{name}`",
            remedy=f"use some of {', '.join(DOMAINS)}",
        )
        for name in names
        if name not in DOMAINS
    )
