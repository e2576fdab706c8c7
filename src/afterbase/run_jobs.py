"""The programs of single trainings: a base model and rows of one's own in, one model out.

As in `run.py`, nothing here reads what is in an artifact, so that a store that only plans draws the graph.
"""

from afterbase.core.store import Artifact, Store
from afterbase.data.base_model import import_base
from afterbase.data.own.own_sets import make_samples
from afterbase.model.folders import find
from afterbase.recipe import Job, SftRecipe
from afterbase.run import Outcome
from afterbase.train.sft import train_sft


def run_job(store: Store, recipe: Job, seed: int) -> Outcome:
    """One seed of a recipe of a single training."""
    match recipe:
        case SftRecipe():
            return fine_tune(store, recipe, seed)
    raise AssertionError(f"no program for {type(recipe).__name__}")


def fine_tune(store: Store, recipe: SftRecipe, seed: int) -> Outcome:
    """Supervised fine-tuning on one's own rows."""
    base = import_base(store, find(recipe.base))
    rows = make_samples(store, "data", recipe.data.training, seed=seed)
    final = train_sft(store, "SFT", base, rows, recipe.sft, seed=seed)
    return Outcome(seed, curves=[final], data=[rows], final=final)


def make_job_data(store: Store, recipe: Job, seed: int) -> list[Artifact]:
    """What a training reads, made before anything else: a broken row may not come up after hours."""
    match recipe:
        case SftRecipe():
            return [make_samples(store, "data", recipe.data.training, seed=seed)]
    raise AssertionError(f"no program for {type(recipe).__name__}")
