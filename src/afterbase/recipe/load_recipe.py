"""A recipe from its file, whatever its kind."""

import contextlib
import tomllib
from pathlib import Path

from afterbase.core.config import load_toml
from afterbase.core.errors import UserError
from afterbase.recipe.base import BaseRecipe
from afterbase.recipe.post_training import Recipe
from afterbase.recipe.rl import RlRecipe
from afterbase.recipe.training_jobs import (
    DistillationRecipe,
    GrpoRecipe,
    Job,
    PreferenceRecipe,
    RewardModelRecipe,
    SftRecipe,
)

AnyRecipe = Recipe | RlRecipe | BaseRecipe | Job
KINDS: dict[str, type[Recipe] | type[RlRecipe] | type[BaseRecipe] | type[Job]] = {
    "post-training": Recipe,
    "rl": RlRecipe,
    "base": BaseRecipe,
    "sft": SftRecipe,
    "preference": PreferenceRecipe,
    "reward-model": RewardModelRecipe,
    "grpo": GrpoRecipe,
    "distillation": DistillationRecipe,
}
"""The model of each kind of recipe, by what `kind` says."""


def shipped_recipe(name: str) -> Path:
    """The file of a shipped recipe: in the package as a wheel installs it, else in the checkout around it."""
    package = Path(__file__).parents[1]
    installed = package / "recipes"
    return (installed if installed.is_dir() else package.parents[1] / "recipes") / f"{name}.toml"


def load_recipe(path: Path) -> AnyRecipe:
    """A recipe of any kind; UserError for anything that it may not say."""
    kind = "post-training"
    if path.is_file():
        with contextlib.suppress(tomllib.TOMLDecodeError, UnicodeDecodeError):  # load_toml says what is wrong and where
            kind = tomllib.loads(path.read_text()).get("kind", kind)
    if kind not in list(KINDS):
        raise UserError(
            "`kind` says what a recipe makes",
            got=f"kind = {kind!r} in {path}",
            remedy=f"use one of {', '.join(KINDS)}",
        )
    return load_toml(path, KINDS[kind])
