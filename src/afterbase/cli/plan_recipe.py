"""What `afterbase plan` prints: the stages of a recipe, what is cached, and what each will cost."""

from pathlib import Path

from rich.console import Console

from afterbase.cli.preflight import preflight
from afterbase.cli.run_recipe import outcomes_of
from afterbase.core.sanitize import sanitized
from afterbase.core.store import Store
from afterbase.data.generate.teacher import Teacher
from afterbase.recipe import BaseRecipe, Job, Recipe, load_recipe
from afterbase.report.plan import MeasuredCosts, plan_table
from afterbase.run import run_base


def plan(path: Path, root: Path) -> None:
    """Print the stages of a recipe, what is cached, and what each will cost."""
    recipe = load_recipe(path)
    store = Store(root / "store", plan_only=True)
    if isinstance(recipe, BaseRecipe):
        run_base(store, recipe)
    else:
        notes = [] if isinstance(recipe, Job) else preflight(recipe)
        print(*map(sanitized, notes), sep="\n", end="\n" if notes else "")
        outcomes_of(store, recipe)
    print(f"plan of {recipe.name}")
    costs = MeasuredCosts(store.root)
    Console().print(plan_table(store.stages, costs))
    to_run = {r.artifact.key: costs.seconds(r) for r in store.stages if not r.cached}  # two seeds share some stages
    cached = sum(r.cached for r in store.stages)
    shared = (
        ""
        if isinstance(recipe, BaseRecipe | Job) or recipe.processes == 1
        else f", shared by up to {recipe.processes} processes"
    )
    minutes = sum(to_run.values()) / 60
    print(f"{len(store.stages)} stages, {cached} cached; about {minutes:.0f} minutes to run{shared}.")
    print("Tokens trained are estimates, tokens generated are upper bounds.")
    if isinstance(recipe, Recipe) and recipe.teacher is not None and recipe.teacher.endpoint is not None:
        print(*_teacher_plan(store, recipe.teacher, costs), sep="\n")


def _teacher_plan(store: Store, teacher: Teacher, costs: MeasuredCosts) -> list[str]:
    """What the teacher's endpoint is still to be asked, and what that costs."""
    asked = {r.artifact.key: r for r in store.stages if r.cost.requests and not r.cached}.values()
    requests, prompts, answers = (
        sum(getattr(r.cost, part) for r in asked) for part in ("requests", "prompt_tokens", "answer_tokens")
    )
    hours = sum(costs.seconds(r) for r in asked) / 3600
    lines = [
        f"The teacher gets {requests:,} requests: about {prompts:,} tokens of prompts, at most {answers:,} of answers, "
        f"about {hours:.1f} hours."
    ]
    if teacher.price is not None:
        money = sum(r.cost.money for r in asked)
        limit = "" if teacher.max_cost is None else f"; the run stops at {teacher.max_cost:g} in all (`max_cost`)"
        lines.append(f"That is at most {money:,.2f} {teacher.price.currency}{limit}.")
    return lines
