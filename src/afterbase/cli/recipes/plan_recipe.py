"""What `afterbase plan` prints: the stages of a recipe, what is cached, and what each will cost."""

from pathlib import Path

from rich.console import Console

from afterbase.cli.recipes.last_run import cached_stages
from afterbase.core.sanitize import sanitized
from afterbase.core.store import Store
from afterbase.data.generate.teacher import Teacher
from afterbase.recipe import BaseRecipe, Recipe, load_recipe
from afterbase.report.machine_rate import SMALL
from afterbase.report.made_anew import made_anew
from afterbase.report.plan import StageSeconds, plan_table, total


def plan(path: Path, root: Path) -> None:
    """Print the stages of a recipe, what is cached, and what each will cost."""
    recipe = load_recipe(path)
    there = None if isinstance(recipe, BaseRecipe) else cached_stages(recipe, root)
    if there is not None:
        store, rates = Store(root / "store", plan_only=True, threads=recipe.threads, stages=there), SMALL
    else:
        if not isinstance(recipe, BaseRecipe):
            from afterbase.cli.recipes.preflight import check_without_model

            check_without_model(recipe)
        from afterbase.cli.recipes.walk_recipe import walked  # here: it imports what trains

        store, rates = walked(recipe, root)
    print(f"plan of {recipe.name}")
    seconds = StageSeconds(store, rates)
    Console().print(plan_table(store.stages, seconds))
    shared = not isinstance(recipe, BaseRecipe) and recipe.processes > 1
    print(*total(store, seconds, rates, processes=recipe.processes if shared else 1), sep="\n")
    print("Tokens trained are estimates, tokens generated are upper bounds.")
    if isinstance(recipe, Recipe) and recipe.teacher is not None and recipe.teacher.endpoint is not None:
        print(*_teacher_plan(store, recipe.teacher, seconds), sep="\n")
    for sentence in made_anew(store, store.stages):
        print(sanitized(sentence))


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
