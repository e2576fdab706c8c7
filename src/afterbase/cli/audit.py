"""What `afterbase verify audit` counts: right answers that a recipe's own verifiers refuse."""

from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.intervals import wilson
from afterbase.data.domains import DOMAINS
from afterbase.data.problems.problems import split_problems
from afterbase.data.problems.puzzle_families import family_problems
from afterbase.data.problems.sources import distinct_problems
from afterbase.recipe import BaseRecipe, Job, load_recipe
from afterbase.verify.check import audit as rejected_golds


def audit(path: Path) -> dict[str, Any]:
    """Every verifier of a recipe against its own right answers.

    {domain: {verifier, n, rejected, false_negative_rate, low, high, first}}, with Wilson's 95 % interval; domains
    without right answers, whose answers people or models judge, are left out.
    """
    recipe = load_recipe(path)
    if isinstance(recipe, BaseRecipe | Job):
        raise UserError(
            "a recipe with verifiers has domains", got=f"`kind` = {recipe.kind}: {path}", remedy="name another"
        )
    seed, sets = recipe.seeds[0], {}
    for name, config in recipe.domains.items():
        sets[name] = split_problems(DOMAINS[name], config, seed)
    for name, family in recipe.families.items():
        sets[name] = family_problems(name, family, seed)
    for name, source in recipe.sources.items():
        sets[name] = distinct_problems(name, source, seed)[:2]
    out = {}
    for name, (train, test) in sets.items():
        problems = [problem for problem in (*train, *test) if problem.gold is not None]
        if not problems:
            continue
        rejected = rejected_golds(problems)
        interval = wilson(len(rejected), len(problems))
        out[name] = {
            "verifier": problems[0].verifier,
            "n": len(problems),
            "rejected": len(rejected),
            "false_negative_rate": len(rejected) / len(problems),
            "low": interval.low,
            "high": interval.high,
            "first": None if not rejected else f"{rejected[0][1].reason}: {rejected[0][0].gold}",
        }
    return out
