"""The typed recipe: what `recipes/*.toml` may say. Settings lie with their stage or in `config.py`; here they meet."""

from afterbase.recipe.base import BaseRecipe
from afterbase.recipe.load_recipe import AnyRecipe, load_recipe, shipped_recipe
from afterbase.recipe.post_training import Recipe
from afterbase.recipe.problem_domains import Judge
from afterbase.recipe.rl import RlRecipe
from afterbase.recipe.training_jobs import (
    DistillationRecipe,
    GrpoRecipe,
    Job,
    PreferenceRecipe,
    RewardModelRecipe,
    SftRecipe,
)

__all__ = [
    "AnyRecipe",
    "BaseRecipe",
    "DistillationRecipe",
    "GrpoRecipe",
    "Job",
    "Judge",
    "PreferenceRecipe",
    "Recipe",
    "RewardModelRecipe",
    "RlRecipe",
    "SftRecipe",
    "load_recipe",
    "shipped_recipe",
]
