"""A walk through a recipe's program that makes nothing: what a plan is drawn from."""

from pathlib import Path

from afterbase.cli.recipes.preflight import preflight
from afterbase.cli.run_recipe import outcomes_of
from afterbase.core.sanitize import sanitized
from afterbase.core.store import Store
from afterbase.model.folders import find
from afterbase.model.size import active_parameter_count
from afterbase.recipe import AnyRecipe, BaseRecipe, Job
from afterbase.report.machine_rate import SMALL, Rates, estimated_rates
from afterbase.run import run_base
from afterbase.run_jobs import job_data
from afterbase.train.device import training_device


def walked(recipe: AnyRecipe, root: Path) -> tuple[Store, Rates]:
    """A store that planned the recipe's stages, and this machine's rates; prints what the user should know before."""
    store = Store(root / "store", plan_only=True, threads=recipe.threads)
    if isinstance(recipe, BaseRecipe):
        run_base(store, recipe)
    else:
        notes = preflight(recipe)
        print(*map(sanitized, notes), sep="\n", end="\n" if notes else "")
        if isinstance(recipe, Job):
            job_data(Store(root / "store"), recipe, recipe.seeds[0])  # what it holds decides what training takes
        outcomes_of(store, recipe)
    return store, _rates(recipe)


def _rates(recipe: AnyRecipe) -> Rates:
    """Those of the recipe's model on this machine; of a base that is not there yet, the ones of a small model."""
    if isinstance(recipe, BaseRecipe):
        return SMALL
    device = training_device(recipe.device).type
    return estimated_rates(active_parameter_count(find(recipe.base)), device=device, threads=recipe.threads)
