"""What `afterbase run` and `afterbase plan` do around the recipe: checks first, then the program, then the report."""

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from afterbase.cli.preflight import preflight
from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.progress import Progress, Silent
from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked
from afterbase.core.store import Store, write_atomically
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.teacher import Teacher
from afterbase.data.problems.families import family_problems
from afterbase.data.problems.problems import split_problems
from afterbase.data.problems.sources import distinct_problems
from afterbase.eval.reward_model_exam import told
from afterbase.eval.statistics import wilson
from afterbase.parallel_stages import make_ahead, open_store, seeds
from afterbase.recipe import BaseRecipe, Recipe, RlRecipe, load_recipe
from afterbase.report.collect import collect, teacher_tokens
from afterbase.report.html import render
from afterbase.report.plan import MeasuredCosts, plan_table
from afterbase.report.table import final_table
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.vllm.vllm_client import Client, Deadlines
from afterbase.rollout.vllm.vllm_engine import refuse_absent
from afterbase.run import Outcome, comparisons, post_train, reinforce, run_base
from afterbase.train.grpo.reward_hacking import change
from afterbase.verify.check import audit as rejected_golds

AnyRecipe = Recipe | RlRecipe | BaseRecipe
_FREE_BYTES = 2 << 30  # what a recipe's checkpoints may need on a disk


def run(path: Path, root: Path) -> None:
    """Run the recipe in a file; ends with the table and the report's path.

    Under `torchrun` every rank comes here: all walk through the same stages, and the first one speaks for them.
    """
    recipe = load_recipe(path)
    _refuse_full_disk(root)
    notes: list[str] = []
    if isinstance(recipe, Recipe | RlRecipe):
        notes = preflight(recipe)
    ranks.start()
    if ranks.rank() == 0:
        _run(path, root, recipe, notes)
    else:
        _follow(root, recipe)
    ranks.end()


def _follow(root: Path, recipe: AnyRecipe) -> None:
    store = open_store(root, recipe.threads, Silent())
    if isinstance(recipe, BaseRecipe):
        run_base(store, recipe)
    else:
        _outcomes(store, recipe)


def _outcomes(store: Store, recipe: Recipe | RlRecipe) -> list[Outcome]:
    if isinstance(recipe, Recipe):
        return [post_train(run_of_seed) for run_of_seed in seeds(store, recipe)]
    return [reinforce(run_of_seed) for run_of_seed in seeds(store, recipe)]


def _run(path: Path, root: Path, recipe: AnyRecipe, notes: list[str]) -> None:
    print(*map(sanitized, notes), sep="\n", end="\n" if notes else "")
    store = open_store(root, recipe.threads, Progress())
    if isinstance(recipe, BaseRecipe):
        artifact = run_base(store, recipe)
        print(sanitized((artifact.payload / "facts.json").read_text()))
        print(sanitized(f"base model: {next(r.artifact.payload for r in store.stages if r.name == 'base')}"))
        return
    _make_sources(store, recipe)
    _refuse_absent_servers(store, recipe)
    if recipe.processes > 1 and ranks.size() == 1:
        make_ahead(store, recipe, root)
    outcomes = _outcomes(store, recipe)
    folder = root / "runs" / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    summary = collect(
        name=recipe.name,
        recipe_text=masked(path.read_text()),
        store=store,
        answers={o.seed: o.answers for o in outcomes},
        pairs=list(comparisons(recipe)),
        curves=outcomes[0].curves,
        together={name: [o.curves[at] for o in outcomes] for at, name in enumerate(recipe.runs())}
        if isinstance(recipe, RlRecipe)
        else {},
        data=outcomes[0].data,
        final=outcomes[0].final_model(),
        notes=[
            *notes,
            *_teacher_notes(outcomes[0]),
            *_reward_model_notes(outcomes),
            *(told(examination) for outcome in outcomes for examination in outcome.examinations),
            *_watched(outcomes),
            *_stops(outcomes),
        ],
    )
    write_atomically(folder / "report.html", render(summary).encode())
    write_atomically(folder / "run.json", (json.dumps(summary, indent=1) + "\n").encode())
    Console().print(final_table(summary["evaluations"]))
    print(sanitized(f"report: {folder / 'report.html'}"))


def _make_sources(store: Store, recipe: Recipe | RlRecipe) -> None:
    """Tables are read before anything else: a broken row may not come up after hours, or after money was spent."""
    before = store.keys()
    for seed in seeds(dataclasses.replace(store, stages=[]), recipe):
        for name in recipe.sources:
            seed.problems(name)
    store.ahead |= store.keys() - before


def _refuse_absent_servers(store: Store, recipe: Recipe | RlRecipe) -> None:
    """An endpoint or a rollout server that is needed has to answer now; where all is there, it may be gone."""
    planned = Store(store.root, plan_only=True)
    _outcomes(planned, recipe)
    needed = {record.stage for record in planned.stages if not record.cached}
    teacher = recipe.teacher if isinstance(recipe, Recipe) else None
    if teacher is not None and teacher.endpoint is not None and "draft" in needed:
        Endpoint(teacher.endpoint).refuse_absent()
    runs = [recipe.expert.grpo, recipe.grpo] if isinstance(recipe, Recipe) else recipe.runs().values()
    servers = {config.engine_url for config in runs if config.engine == "vllm" and "grpo" in needed}
    if teacher is not None and teacher.engine_url is not None and "draft" in needed:
        servers.add(teacher.engine_url)
    for url in sorted(servers):
        token = os.environ.get("AFTERBASE_ROLLOUT_TOKEN")
        with contextlib.closing(Client(url, token=token, deadlines=Deadlines())) as client:
            refuse_absent(client)


def plan(path: Path, root: Path) -> None:
    """Print the stages of a recipe, what is cached, and what each will cost."""
    recipe = load_recipe(path)
    store = Store(root / "store", plan_only=True)
    if isinstance(recipe, BaseRecipe):
        run_base(store, recipe)
    else:
        notes = preflight(recipe)
        print(*map(sanitized, notes), sep="\n", end="\n" if notes else "")
        _outcomes(store, recipe)
    print(f"plan of {recipe.name}")
    costs = MeasuredCosts(store.root)
    Console().print(plan_table(store.stages, costs))
    to_run = {r.artifact.key: costs.seconds(r) for r in store.stages if not r.cached}  # two seeds share some stages
    cached = sum(r.cached for r in store.stages)
    shared = (
        ""
        if isinstance(recipe, BaseRecipe) or recipe.processes == 1
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


def audit(path: Path) -> dict[str, Any]:
    """Every verifier of a recipe against its own right answers.

    {domain: {verifier, n, rejected, false_negative_rate, low, high, first}}, with Wilson's 95 % interval; domains
    without right answers, whose answers people or models judge, are left out.
    """
    recipe = load_recipe(path)
    if isinstance(recipe, BaseRecipe):
        raise UserError("a recipe with verifiers has domains", got=f"a recipe of a base: {path}", remedy="name another")
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


def _refuse_full_disk(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "a run writes `runs/` and `store/` below a folder of its own",
            got=f"{error.strerror}: {root.resolve()}",
            remedy="choose another place with --root",
        ) from error
    free = shutil.disk_usage(root).free
    if free < _FREE_BYTES:
        raise UserError(
            f"a run needs {_FREE_BYTES >> 30} GiB of free disk for its checkpoints",
            got=f"{free / 2**30:.1f} GiB free in {root.resolve()}",
            remedy="free some space, or choose another place with --root",
        )


def _teacher_notes(outcome: Outcome) -> list[str]:
    notes = []
    for domain, drafts in outcome.drafts.items():
        reflective, original = teacher_tokens(drafts, outcome.final_model())
        notes.append(f"{domain}: a teacher's answer has {reflective:.0f} tokens, an original response {original:.0f}.")
    return notes


def _watched(outcomes: list[Outcome]) -> list[str]:
    """What the hacking watch saw of each run that a reward model steered: the first fifth of its steps and the last."""
    notes = []
    for outcome in outcomes:
        for curve in outcome.curves:
            steps = [row for row in curve.metrics() if "proxy" in row and "held_out" in row]
            window = max(2, len(steps) // 5)
            if len(steps) < 2 * window:
                continue
            (up, up_error), (rule, rule_error), (longer, _) = (
                change([row[key] for row in steps], window) for key in ("proxy", "held_out", "length")
            )
            notes.append(
                f"Hacking watch of {curve.name}, seed {outcome.seed}: over {len(steps)} steps the reward model's value "
                f"changed by {up:+.3f} (standard error {up_error:.3f}), the rubric's of them by {rule:+.3f} "
                f"({rule_error:.3f}), their length by {longer:+.1f} tokens."
            )
    return notes


def _stops(outcomes: list[Outcome]) -> list[str]:
    """Which runs of RL were ended before their last step, and why."""
    last = [(outcome.seed, curve, curve.metrics()[-1]) for outcome in outcomes for curve in outcome.curves]
    return [
        f"{curve.name}, seed {seed}: stopped after step {row['step']}, as {row['stopped']}."
        for seed, curve, row in last
        if "stopped" in row
    ]


def _reward_model_notes(outcomes: list[Outcome]) -> list[str]:
    reports = [json.loads((o.reward_model.payload / "accuracy.json").read_text()) for o in outcomes if o.reward_model]
    return [
        f"Reward model: {r['held_out_accuracy']:.1%} of {r['held_out_pairs']} held-out pairs ranked right, "
        f"with a mean confidence of {r['held_out_confidence']:.1%}, after {r['training_pairs']} training pairs."
        for r in reports
    ]
