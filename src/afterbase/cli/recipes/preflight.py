"""What is tried before a recipe begins: all that can be known to fail later is refused now, all of it at once.

Two rounds: what needs no model comes first and takes a second or two; only a recipe that passes it waits for the import
of torch, for the model's tokenizer and for gold answers that run.
"""

import os
import random

from afterbase.core.errors import UserError, collect, refuse
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.open_domains import reviewed_rows
from afterbase.data.problems.problems import refuse_rejected_golds
from afterbase.data.problems.sources import check_table
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_stage import guideline_text
from afterbase.model.folders import find
from afterbase.recipe import Recipe, RlRecipe
from afterbase.sandbox import URL, missing_isolation
from afterbase.verify.check import NONE
from afterbase.verify.own.own_function import OwnFunction
from afterbase.verify.own.own_function import find as find_function
from afterbase.verify.own.own_verdicts import refuse_unready

_GOLDS = 20  # problems a domain whose gold is verified before anything is trained
_SCORERS, _PROGRAMS = ("maths", "reasoning_gym"), ("python", "program")


def preflight(recipe: Recipe | RlRecipe) -> list[str]:
    """Refuse early what would fail late; gives what the user should know before it begins."""
    notes = check_without_model(recipe)
    from afterbase.cli.recipes.model_checks import check_model  # here: it imports torch

    found: list[UserError] = []
    with collect(found):
        notes += check_model(recipe)
    for name in recipe.domains:
        rng = random.Random(0)
        with collect(found):
            refuse_rejected_golds([DOMAINS[name].problem(rng) for _ in range(_GOLDS)])
    refuse(found)
    return notes


def check_without_model(recipe: Recipe | RlRecipe) -> list[str]:
    """The first round: folders, tables, guidelines, endpoints and isolation; without torch."""
    found: list[UserError] = []
    notes: list[str] = []
    with collect(found):
        find(recipe.base)
    teacher = recipe.teacher if isinstance(recipe, Recipe) else None
    if teacher is not None and teacher.model is not None:
        with collect(found):
            find(teacher.model)
    if recipe.judge is not None:
        with collect(found):
            recipe.judge.asked.refuse_unready()
    for name, source in recipe.sources.items():
        with collect(found):
            notes.append(check_table(name, source))
    for name, policy in recipe.review.items() if isinstance(recipe, Recipe) else ():
        with collect(found):
            notes.append(_invitation(name, policy, recipe.name))
    with collect(found):
        _refuse_missing_isolation(recipe)
    with collect(found):
        _refuse_problems_without_reward(recipe)
    for function in _own_functions(recipe):
        with collect(found):
            refuse_unready(function)
    refuse(found)
    return notes


def _invitation(name: str, policy: Review, run: str) -> str:
    guideline_text(policy)
    drafts = len(reviewed_rows(name))
    reviewed = policy.reviewed_of(drafts)
    return (
        f"People review {reviewed} of {drafts} {name} drafts, {policy.twice_of(reviewed)} of them twice, "
        f"with `afterbase review {run}`; the run waits for them."
    )


def _refuse_problems_without_reward(recipe: Recipe | RlRecipe) -> None:
    """A table without a verifier needs further rules; an expert, which is sampled by rejection, needs the verifier."""
    bare = [name for name, source in recipe.sources.items() if source.verifier == NONE]
    composed = recipe.grpo.rewards is not None and recipe.grpo.rewards.beside_verdict
    if bare and (isinstance(recipe, Recipe) or not composed):
        raise UserError(
            "problems without a verifier are rewarded by further rules, in a recipe of RL alone",
            got=f"verifier = none in {', '.join(bare)}",
            remedy="name a verifier, such as FILE.py:FUNCTION"
            + ("" if isinstance(recipe, Recipe) else ", or add [grpo.rewards.own.NAME]"),
        )


def _own_functions(recipe: Recipe | RlRecipe) -> list[OwnFunction]:
    """The user's own functions, of tables and of rewards."""
    stages = [recipe.grpo, *([recipe.expert.grpo] if isinstance(recipe, Recipe) else [])]
    rules = [rule for grpo in stages if grpo.rewards is not None for rule in grpo.rewards.own.values()]
    own = [source.own for source in recipe.sources.values() if source.own is not None]
    return [*own, *(find_function(rule.function) for rule in rules)]


def _refuse_missing_isolation(recipe: Recipe | RlRecipe) -> None:
    """What a model writes is run and scored behind walls; programs may be run by a server elsewhere."""
    here = _SCORERS if os.environ.get(URL) else (*_SCORERS, *_PROGRAMS)
    verifiers = {name: DOMAINS[name].problem(random.Random(0)).verifier for name in recipe.domains}
    verifiers |= dict.fromkeys(recipe.families, "reasoning_gym")
    verifiers |= {name: source.verifier for name, source in recipe.sources.items()}
    scored = [name for name, verifier in verifiers.items() if verifier in here]
    missing = missing_isolation() if scored else None
    if missing is not None:
        raise UserError(
            "what a model writes is run and scored in isolation or not at all",
            got=f"{missing}; needed by {', '.join(scored)}",
            remedy=f"use Linux on x86-64 with Landlock and seccomp; programs alone can run elsewhere ({URL})",
        )
