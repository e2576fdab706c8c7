"""One seed of a recipe: where its artifacts lie, and the stages that its programs share."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from afterbase.core.store import Artifact, Store
from afterbase.data.base_model import import_base
from afterbase.data.generate.draft import draft
from afterbase.data.generate.open_answers import draft_open
from afterbase.data.generate.open_domains import review_open
from afterbase.data.generate.teacher import Kind
from afterbase.data.problems.problems import make_problems
from afterbase.data.problems.puzzle_families import make_family
from afterbase.data.problems.sources import make_source
from afterbase.data.review.review_stage import invite, open_drafts, review_by_people
from afterbase.data.system_prompts import system_prompt as teacher_prompt
from afterbase.eval.held_out import evaluate
from afterbase.model.folders import find
from afterbase.recipe import Recipe, RlRecipe


@dataclass
class Outcome:
    """What one seed of the recipe made: its answers in the order of the recipe, and the artifacts the report reads."""

    seed: int
    answers: list[Artifact] = field(default_factory=list)
    curves: list[Artifact] = field(default_factory=list)
    data: list[Artifact] = field(default_factory=list)
    drafts: dict[str, Artifact] = field(default_factory=dict)
    reward_model: Artifact | None = None
    examinations: list[Artifact] = field(default_factory=list)
    final: Artifact | None = None
    unscored: dict[int, str] = field(default_factory=dict)
    """Places in `answers` of those that a reward model will score, and their domains."""

    def final_model(self) -> Artifact:
        """The last checkpoint, which every finished seed has."""
        assert self.final is not None
        return self.final


R = TypeVar("R", bound=Recipe | RlRecipe)


@dataclass(frozen=True)
class Seed(Generic[R]):
    """One seed of a recipe, and where its artifacts lie."""

    store: Store
    recipe: R
    seed: int

    def under(self, branch: str) -> "Seed[R]":
        """The same seed, whose stages the screen shows below that branch of its tree."""
        return dataclasses.replace(self, store=self.store.under(branch))

    def base(self) -> Artifact:
        recipe = self.recipe
        return import_base(
            self.store, find(recipe.base), chat_template=recipe.chat_template, template_args=recipe.template_args
        )

    def problems(self, domain: str) -> Artifact:
        if domain in self.recipe.families:
            return make_family(self.store, domain, self.recipe.families[domain], seed=self.seed)
        if domain in self.recipe.sources:
            return make_source(self.store, domain, self.recipe.sources[domain], seed=self.seed)
        if isinstance(self.recipe, Recipe) and domain in self.recipe.open:
            return make_source(self.store, domain, self.recipe.open[domain].source, seed=self.seed)
        return make_problems(self.store, domain, self.recipe.domains[domain], seed=self.seed)

    def drafts(self, domain: str, problems: Artifact, kinds: Sequence[Kind]) -> Artifact:
        """By the domain's teacher, or the recipe's, if there is one."""
        if not isinstance(self.recipe, Recipe):
            return draft(self.store, domain, problems, kinds, seed=self.seed)
        teacher, account = self.recipe.teacher_of(domain), self.recipe.payer_of(domain)
        return draft(self.store, domain, problems, kinds, seed=self.seed, teacher=teacher, account=account)

    def evaluate(
        self, checkpoint: str, model: Artifact, problems: dict[str, Artifact], *, system_prompt: bool = False
    ) -> list[Artifact]:
        """The checkpoint's answers to held-out problems of each domain."""
        return [
            evaluate(
                self.store, checkpoint, model, domain, held_out, self.recipe.evaluation,
                seed=self.seed, system=system_prompt and self._system(domain),
            )
            for domain, held_out in problems.items()
        ]  # fmt: skip

    def _system(self, domain: str) -> str | bool:
        """The system prompt of a domain's reflective drafts; True: that of the domain itself."""
        teacher = self.recipe.teacher_of(domain) if isinstance(self.recipe, Recipe) else None
        return teacher is None or teacher_prompt(teacher.system) or True


@dataclass(frozen=True)
class OpenDrafts:
    """The drafts of a recipe's open domains, which people may review while the experts train."""

    run: Seed[Recipe]
    drafts: dict[str, Artifact]

    @classmethod
    def invite(cls, run: Seed[Recipe], problems: dict[str, Artifact]) -> "OpenDrafts":
        """The drafts of the user's own domains and of those that people review, whose reviews are opened."""
        store, recipe = run.store, run.recipe
        wanted = [name for name in recipe.open_domains if name in recipe.open or name in recipe.review]
        drafts = {name: cls._drafted(run, name, problems) for name in wanted}
        for domain, policy in recipe.review.items():
            invite(store, domain, drafts[domain], policy, run=recipe.name)
        return cls(run, drafts)

    @staticmethod
    def _drafted(run: Seed[Recipe], domain: str, problems: dict[str, Artifact]) -> Artifact:
        recipe = run.recipe
        if domain not in recipe.open:
            return open_drafts(run.store, domain)
        return draft_open(
            run.store, domain, problems[domain], recipe.open[domain],
            seed=run.seed, teacher=recipe.teacher_of(domain), account=recipe.payer_of(domain),
        )  # fmt: skip

    def reviewed(self) -> dict[str, Artifact]:
        """What is trained on of each open domain; Waiting where people have still to review."""
        store, recipe = self.run.store, self.run.recipe
        return {
            domain: review_by_people(store, domain, self.drafts[domain], recipe.review[domain], run=recipe.name)
            if domain in recipe.review
            else self.drafts[domain]
            if domain in recipe.open
            else review_open(store, domain)
            for domain in recipe.open_domains
        }
