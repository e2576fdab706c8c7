"""What `afterbase run` does around the recipe: checks first, then the program, then the report."""

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path

from rich.console import Console

from afterbase.cli.notes import notes_on
from afterbase.cli.preflight import preflight
from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.progress import Progress, Silent
from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked
from afterbase.core.store import Store, write_atomically
from afterbase.parallel_stages import make_ahead, open_store, seeds
from afterbase.recipe import BaseRecipe, Recipe, RlRecipe, load_recipe
from afterbase.report.collect import Made, collect
from afterbase.report.html import render
from afterbase.report.table import final_table
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.vllm.vllm_client import Client, Deadlines
from afterbase.rollout.vllm.vllm_engine import refuse_absent
from afterbase.run import Outcome, comparisons, post_train, reinforce, run_base

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
        outcomes_of(store, recipe)


def outcomes_of(store: Store, recipe: Recipe | RlRecipe) -> list[Outcome]:
    """Walk through the program once a seed."""
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
    outcomes = outcomes_of(store, recipe)
    folder = root / "runs" / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    made = Made(
        answers={o.seed: o.answers for o in outcomes},
        curves=outcomes[0].curves,
        compared={name: [o.curves[at] for o in outcomes] for at, name in enumerate(recipe.runs())}
        if isinstance(recipe, RlRecipe)
        else {},
        data=outcomes[0].data,
        final=outcomes[0].final_model(),
    )
    summary = collect(
        made,
        name=recipe.name,
        recipe_text=masked(path.read_text()),
        store=store,
        pairs=list(comparisons(recipe)),
        notes=[*notes, *notes_on(outcomes)],
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
    outcomes_of(planned, recipe)
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
