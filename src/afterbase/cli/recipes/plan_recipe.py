"""What `afterbase plan` prints: the stages of a recipe, what is cached, and what each will cost."""

from pathlib import Path

from rich.console import Console

from afterbase.cli.recipes.preflight import preflight
from afterbase.cli.run_recipe import outcomes_of
from afterbase.core.sanitize import sanitized
from afterbase.core.store import Store
from afterbase.data.generate.teacher import Teacher
from afterbase.model.folders import find
from afterbase.model.size import active_parameter_count
from afterbase.recipe import AnyRecipe, BaseRecipe, Job, Recipe, load_recipe
from afterbase.report.machine_rate import SMALL, Rates, estimated_rates
from afterbase.report.made_anew import made_anew
from afterbase.report.plan import StageSeconds, plan_table, total
from afterbase.run import run_base
from afterbase.run_jobs import job_data
from afterbase.train.device import training_device


def plan(path: Path, root: Path) -> None:
    """Print the stages of a recipe, what is cached, and what each will cost."""
    recipe = load_recipe(path)
    store = Store(root / "store", plan_only=True, threads=recipe.threads)
    if isinstance(recipe, BaseRecipe):
        run_base(store, recipe)
    else:
        notes = preflight(recipe)
        print(*map(sanitized, notes), sep="\n", end="\n" if notes else "")
        if isinstance(recipe, Job):
            job_data(Store(root / "store"), recipe, recipe.seeds[0])  # what it holds decides what training takes
        outcomes_of(store, recipe)
    print(f"plan of {recipe.name}")
    rates = _rates(recipe)
    seconds = StageSeconds(store, rates)
    Console().print(plan_table(store.stages, seconds))
    shared = not isinstance(recipe, BaseRecipe) and recipe.processes > 1
    print(*total(store, seconds, rates, processes=recipe.processes if shared else 1), sep="\n")
    print("Tokens trained are estimates, tokens generated are upper bounds.")
    if isinstance(recipe, Recipe) and recipe.teacher is not None and recipe.teacher.endpoint is not None:
        print(*_teacher_plan(store, recipe.teacher, seconds), sep="\n")
    for sentence in made_anew(store, store.stages):
        print(sanitized(sentence))


def _rates(recipe: AnyRecipe) -> Rates:
    """Those of the recipe's model on this machine; of a base that is not there yet, the ones of a small model."""
    if isinstance(recipe, BaseRecipe):
        return SMALL
    device = training_device(recipe.device).type
    return estimated_rates(active_parameter_count(find(recipe.base)), device=device, threads=recipe.threads)


def _teacher_plan(store: Store, teacher: Teacher, seconds: StageSeconds) -> list[str]:
    """What the teacher's endpoint is still to be asked, and what that costs."""
    asked = {r.artifact.key: r for r in store.stages if r.cost.requests and not r.cached}.values()
    requests, prompts, answers = (
        sum(getattr(r.cost, part) for r in asked) for part in ("requests", "prompt_tokens", "answer_tokens")
    )
    hours = sum(seconds.of(r)[0] for r in asked) / 3600
    lines = [
        f"The teacher gets {requests:,} requests: about {prompts:,} tokens of prompts, at most {answers:,} of answers, "
        f"about {hours:.1f} hours."
    ]
    if teacher.price is not None:
        money = sum(r.cost.money for r in asked)
        limit = "" if teacher.max_cost is None else f"; the run stops at {teacher.max_cost:g} in all (`max_cost`)"
        lines.append(f"That is at most {money:,.2f} {teacher.price.currency}{limit}.")
    return lines
