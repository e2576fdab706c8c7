"""What is tried before a recipe begins: all that can be known to fail later is refused now, all of it at once.

Two rounds: what needs no model comes first and takes a second or two; only a recipe that passes it waits for the import
of torch, for the model's tokenizer and for gold answers that run.
"""

import os
import random
from typing import Any

from afterbase.core.config import Config, all_below
from afterbase.core.errors import UserError, collect, refuse, refuse_missing_extra
from afterbase.data.clean.parallel_map import Workers, refuse_without_ray
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.open_domains import reviewed_rows
from afterbase.data.generate.open_tables import OpenDomain, check_drafts_of
from afterbase.data.generate.teacher import Teacher
from afterbase.data.own.own_rows import OwnRows, Reading
from afterbase.data.own.own_sets import read_labelled_of, read_pairs_of, read_prompts_of, read_samples_of
from afterbase.data.problems.problems import refuse_rejected_golds
from afterbase.data.problems.source_rows import Source
from afterbase.data.problems.sources import check_table, most_train
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_stage import guideline_text, refuse_without_review
from afterbase.model.folders import find
from afterbase.recipe import DistillationRecipe, Job, PreferenceRecipe, Recipe, RewardModelRecipe, RlRecipe
from afterbase.recipe.problem_domains import Domains
from afterbase.reward.rule_settings import OwnRule
from afterbase.rollout.endpoint.request_cache import refuse_without_psycopg
from afterbase.sandbox import URL, missing_isolation
from afterbase.train.config import Lora
from afterbase.verify.check import NONE
from afterbase.verify.ifeval.english import refuse_without_ifeval
from afterbase.verify.ifeval.follow import VERIFIER as IFEVAL
from afterbase.verify.own.own_function import OwnFunction
from afterbase.verify.own.own_function import find as find_function
from afterbase.verify.own.own_verdicts import refuse_unready

_SCANNED = 10_000  # rows of one's own files that are looked at
_GOLDS = 20  # problems a domain whose gold is verified before anything is trained
_SCORERS, _PROGRAMS = ("maths", "reasoning_gym"), ("python", "program")


def preflight(recipe: Recipe | RlRecipe | Job) -> list[str]:
    """Refuse early what would fail late; gives what the user should know before it begins."""
    notes = check_without_model(recipe)
    from afterbase.cli.recipes.model_checks import check_model  # here: it imports torch

    found: list[UserError] = []
    with collect(found):
        notes += check_model(recipe)
    for name in recipe.domains if isinstance(recipe, Domains) else ():
        rng = random.Random(0)
        with collect(found):
            refuse_rejected_golds([DOMAINS[name].problem(rng) for _ in range(_GOLDS)])
    refuse(found)
    return notes


def check_without_model(recipe: Recipe | RlRecipe | Job) -> list[str]:
    """The first round: folders, tables, guidelines, endpoints and isolation; without torch."""
    found: list[UserError] = []
    notes: list[str] = []
    for model in dict.fromkeys((recipe.base, *(teacher.model for teacher in recipe.teachers()))):
        if model is not None:
            with collect(found):
                find(model)
    if isinstance(recipe, Recipe | RlRecipe) and recipe.judge is not None:
        with collect(found):
            recipe.judge.asked.refuse_unready()
    tables = [(key, table) for key, table in all_below(recipe) if isinstance(table, Source | OwnRows)]
    for key, table in tables:
        name = key.removeprefix("sources.")
        with collect(found):
            notes.append(check_table(name, table) if isinstance(table, Source) else _check_rows(name, table, recipe))
    if isinstance(recipe, Recipe):
        with collect(found):
            notes += _check_open(recipe)
        for name, policy in recipe.review.items():
            with collect(found):
                notes.append(_invitation(recipe, name, policy))
    with collect(found):
        _refuse_missing_extras(recipe)
    with collect(found):
        _refuse_missing_isolation(recipe)
    if isinstance(recipe, Recipe | RlRecipe):
        with collect(found):
            _refuse_problems_without_reward(recipe)
    for function in _own_functions(recipe):
        with collect(found):
            refuse_unready(function)
    refuse(found)
    return notes


def _check_rows(name: str, rows: OwnRows, recipe: Recipe | RlRecipe | Job) -> str:
    """Look at the first rows of one's own files as they will be read; gives what was looked at, as a sentence."""
    match recipe:
        case PreferenceRecipe() if recipe.kto is not None:
            read = read_labelled_of
        case PreferenceRecipe() | RewardModelRecipe():
            read = read_pairs_of
        case DistillationRecipe() if name == "data":
            read = read_prompts_of
        case _:
            read = read_samples_of
    most = min(rows.limit or _SCANNED, _SCANNED)
    reading = read(rows.model_copy(update={"limit": most}), seed=0)
    if isinstance(recipe, PreferenceRecipe | RewardModelRecipe) and recipe.data.eval is None:
        _refuse_one_prompt(reading)
    left_out = f", {len(reading.dropped):,} of them left out ({reading.dropped[0].rule})" if reading.dropped else ""
    unused = f"; not read: {', '.join(map(str, reading.unused))}" if reading.unused else ""
    which = "the first " if len(reading.kept) == _SCANNED else ""
    told = f"{which}{reading.rows:,} rows of {', '.join(rows.files)}"
    return f"{name}: {told} can be read ({reading.form}){left_out}{unused}."


def _refuse_one_prompt(reading: Reading[Any]) -> None:
    """Some prompts are kept to measure on, so that one alone leaves none to train on."""
    prompts = {str(kept.said.prompt) for kept in reading.kept}
    if len(prompts) < 2 and len(reading.kept) < _SCANNED:
        raise UserError(
            "learning from preferences needs rows to train on and rows of other prompts to measure on",
            got=f"{len(reading.kept)} rows over {len(prompts)} prompt, none of them given by --eval",
            remedy="add rows of other prompts, or give a file of rows to measure on (--eval)",
        )


def _check_open(recipe: Recipe) -> list[str]:
    """Look at the first rows of the user's own open domains and pairs, as they will be read."""
    found: list[UserError] = []
    notes: list[str] = []
    for name, table in recipe.open.items():
        with collect(found):
            notes.append(check_table(name, table.source))
            check_drafts_of(name, table, recipe.teacher_of(name))
    if recipe.preferences.path is not None:
        with collect(found):
            pairs = read_pairs_of(OwnRows(files=(recipe.preferences.path,), limit=_SCANNED), seed=0)
            notes.append(f"preferences: {len(pairs.kept):,} pairs of {recipe.preferences.path} can be read.")
    refuse(found)
    return notes


def _invitation(recipe: Recipe, name: str, policy: Review) -> str:
    guideline_text(policy)
    if name in recipe.open:
        teacher = recipe.teacher_of(name)
        drafts = most_train(recipe.open[name].source) * (1 if teacher is None else teacher.samples)
    else:
        drafts = len(reviewed_rows(name))
    reviewed = policy.reviewed_of(drafts)
    return (
        f"People review {reviewed} of {drafts} {name} drafts, {policy.twice_of(reviewed)} of them twice, "
        f"with `afterbase review {recipe.name}`; the run waits for them."
    )


def _refuse_problems_without_reward(recipe: Recipe | RlRecipe) -> None:
    """A table without a verifier needs further rules; an expert, which is sampled by rejection, needs the verifier."""
    bare = [name for name, source in recipe.sources.items() if source.verifier == NONE]
    rewards = None if isinstance(recipe, Recipe) else recipe.grpo.rewards
    if bare and (rewards is None or not rewards.beside_verdict):
        raise UserError(
            "problems without a verifier are rewarded by further rules, in a recipe of RL alone",
            got=f"verifier = none in {', '.join(bare)}",
            remedy="name a verifier, such as FILE.py:FUNCTION, or "
            + ("make it an open domain, [open.NAME]" if isinstance(recipe, Recipe) else "add [grpo.rewards.own.NAME]"),
        )


def _own_functions(recipe: Config) -> list[OwnFunction]:
    """The user's own functions, of tables and of rewards."""
    below = [table for _, table in all_below(recipe)]
    sources = [table.source if isinstance(table, OpenDomain) else table for table in below]
    own = [source.own for source in sources if isinstance(source, Source) and source.own is not None]
    return [*own, *(find_function(table.function) for table in below if isinstance(table, OwnRule))]


def _refuse_missing_extras(recipe: Recipe | RlRecipe | Job) -> None:
    """What the recipe needs beside the packages that are always there (docs/dependencies.md)."""
    found: list[UserError] = []
    for key, table in all_below(recipe):
        with collect(found):
            if isinstance(table, Lora):
                refuse_missing_extra("lora", f"`{key}` trains through the package peft", otherwise="leave it out")
            elif isinstance(table, Source) and table.verifier == IFEVAL:
                refuse_without_ifeval()
            elif isinstance(table, Teacher) and table.cache is not None:
                refuse_without_psycopg(table.cache)
            elif isinstance(table, Review):
                refuse_without_review()
            elif isinstance(table, Workers):
                refuse_without_ray(table)
    refuse(found)


def _refuse_missing_isolation(recipe: Recipe | RlRecipe | Job) -> None:
    """What a model writes is run and scored behind walls; programs may be run by a server elsewhere."""
    here = _SCORERS if os.environ.get(URL) else (*_SCORERS, *_PROGRAMS)
    tables = [(key.removeprefix("sources."), table) for key, table in all_below(recipe)]
    verifiers = {name: table.verifier for name, table in tables if isinstance(table, Source)}
    if isinstance(recipe, Domains):
        verifiers |= {name: DOMAINS[name].problem(random.Random(0)).verifier for name in recipe.domains}
        verifiers |= dict.fromkeys(recipe.families, "reasoning_gym")
    scored = [name for name, verifier in verifiers.items() if verifier in here]
    missing = missing_isolation() if scored else None
    if missing is not None:
        raise UserError(
            "what a model writes is run and scored in isolation or not at all",
            got=f"{missing}; needed by {', '.join(scored)}",
            remedy=f"use Linux on x86-64 with Landlock and seccomp; programs alone can run elsewhere ({URL})",
        )
