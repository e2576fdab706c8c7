"""What `afterbase run` does around the recipe: checks first, then the program, then the report."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from afterbase.cli.notes import notes_on
from afterbase.cli.recipes.last_run import Handed, MadeFrom, note_run
from afterbase.cli.recipes.preflight import preflight
from afterbase.cli.run_ending import Finished, ending, left_out, tell
from afterbase.core import distributed as ranks
from afterbase.core.artifacts.atomic_writes import write_atomically
from afterbase.core.errors import UserError
from afterbase.core.progress import Progress, Silent
from afterbase.core.sanitize import sanitized
from afterbase.core.screen.run_state import RunState
from afterbase.core.secret_masking import masked
from afterbase.core.store import StageRecord, Store
from afterbase.data.generate.open_answers import STAGE as OPEN_ANSWERS
from afterbase.data.generate.teacher import Teacher
from afterbase.data.own.own_answers import STAGE as OWN_ANSWERS
from afterbase.parallel_stages import made_beside, make_ahead, open_store, seeds, stores_of_seeds
from afterbase.recipe import AnyRecipe, BaseRecipe, GrpoRecipe, Job, Recipe, RlRecipe, load_recipe
from afterbase.report.collect import Made, collect, made_so_far
from afterbase.report.headline import headline
from afterbase.report.html import render
from afterbase.report.made_anew import made_anew
from afterbase.report.model_folder import refuse_foreign, write_model_folder
from afterbase.report.plan import planned_stages
from afterbase.report.summary import Summary
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.vllm.vllm_client import Client, Deadlines
from afterbase.rollout.vllm.vllm_engine import refuse_absent
from afterbase.run import comparisons, post_train, reinforce, run_base
from afterbase.run_jobs import job_data, run_job
from afterbase.run_seed import Outcome
from afterbase.train.device import training_device


def run(path: Path, root: Path) -> None:
    """Run the recipe in a file; ends with the table, the report's path and that of the model.

    Under `torchrun` every rank comes here: all walk through the same stages, and the first one speaks for them.
    """
    recipe = load_recipe(path)
    ranks.start()
    run_loaded(recipe, root, Handed(masked(path.read_text()), root / "runs" / recipe.name / "model"))
    ranks.end()


def run_loaded(recipe: AnyRecipe, root: Path, handed: Handed, *, chosen: Sequence[str] = ()) -> Finished | None:
    """Run a recipe; None for a base recipe, and for all ranks but the first. `chosen` is told before it begins."""
    refuse_foreign(handed.model.absolute(), run=recipe.name)
    began = None if isinstance(recipe, BaseRecipe) else MadeFrom.now(recipe)
    notes = [] if isinstance(recipe, BaseRecipe) else preflight(recipe)
    if ranks.rank() != 0:
        _follow(root, recipe)
        return None
    print(f"device: {_place(recipe)}", flush=True)
    for line in (*chosen, *notes):
        print(sanitized(line), flush=True)
    store = open_store(root, recipe.threads, Progress())
    if isinstance(recipe, BaseRecipe):
        _run_base(store, recipe)
        return None
    try:
        outcomes = _make(store, recipe, root)
    except BaseException as error:
        _report_unfinished(store, recipe, handed.text, root, error)
        raise
    finished = _hand_over(store, outcomes, recipe, root, handed, notes)
    note_run(began, recipe, root, handed, store.stages, finished.final)
    return finished


def _place(recipe: AnyRecipe) -> str:
    """Where a run computes."""
    device = training_device(recipe.device).type
    name = f"cuda ({torch.cuda.get_device_name()})" if device == "cuda" else device
    return f"{name}, {recipe.threads} thread{'s' if recipe.threads > 1 else ''}"


def _follow(root: Path, recipe: AnyRecipe) -> None:
    store = open_store(root, recipe.threads, Silent())
    if isinstance(recipe, BaseRecipe):
        run_base(store, recipe)
    else:
        outcomes_of(store, recipe)


def outcomes_of(store: Store, recipe: Recipe | RlRecipe | Job) -> list[Outcome]:
    """Walk through the program once a seed."""
    if isinstance(recipe, Job):
        return [run_job(labelled, recipe, seed) for seed, labelled in stores_of_seeds(store, recipe.seeds)]
    if isinstance(recipe, Recipe):
        return [post_train(run_of_seed) for run_of_seed in seeds(store, recipe)]
    return [reinforce(run_of_seed) for run_of_seed in seeds(store, recipe)]


def _run_base(store: Store, recipe: BaseRecipe) -> None:
    planned = Store(store.root, plan_only=True, threads=store.threads)
    run_base(planned, recipe)
    with store.progress.run(_shown(planned, recipe)):
        artifact = run_base(store, recipe)
    print(sanitized((artifact.payload / "facts.json").read_text()))
    print(sanitized(f"base model: {next(r.artifact.payload for r in store.stages if r.name == 'base')}"))


def _make(store: Store, recipe: Recipe | RlRecipe | Job, root: Path) -> list[Outcome]:
    """All stages of a recipe; what is read from the user's files first."""
    if isinstance(recipe, Job):
        for seed in recipe.seeds:
            job_data(dataclasses.replace(store, stages=[], progress=Silent(), told=set()), recipe, seed)
    else:
        _make_sources(store, recipe)
    planned = Store(store.root, plan_only=True, threads=store.threads)
    outcomes_of(planned, recipe)
    for sentence in made_anew(planned, planned.stages):
        print(sanitized(sentence), flush=True)
    _refuse_absent_servers(planned, recipe)
    with store.progress.run(_shown(planned, recipe)):
        if not isinstance(recipe, Job) and _processes(recipe) > 1:
            make_ahead(store, recipe, root)
        return outcomes_of(store, recipe)


def _shown(planned: Store, recipe: AnyRecipe) -> RunState:
    """What the screen is told of a run before it begins."""
    processes, place = _processes(recipe), _place(recipe)
    beside: set[str] = set()
    if isinstance(recipe, Recipe | RlRecipe) and processes > 1:
        beside, place = made_beside(planned, recipe), f"{place}, {processes} processes"
    return RunState(recipe.name, place, planned_stages(planned, beside), processes=processes)


def _processes(recipe: AnyRecipe) -> int:
    """How many work at the same time, apart from the ranks of `torchrun`."""
    return recipe.processes if isinstance(recipe, Recipe | RlRecipe) and ranks.size() == 1 else 1


def _hand_over(
    store: Store, outcomes: list[Outcome], recipe: Recipe | RlRecipe | Job, root: Path, handed: Handed, notes: list[str]
) -> Finished:
    """The report, the model's folder, and the lines that say where they are."""
    final, text, folder = outcomes[0].final_model(), handed.text, handed.model
    made = Made(
        answers={o.seed: o.answers for o in outcomes},
        curves=outcomes[0].curves,
        compared={name: [o.curves[at] for o in outcomes] for at, name in enumerate(recipe.runs())}
        if isinstance(recipe, RlRecipe)
        else {},
        data=outcomes[0].data,
        final=final,
        model_folder=str(folder),
        open_domains=() if isinstance(recipe, Job) else recipe.open_domains,
    )
    pairs = [] if isinstance(recipe, Job) else list(comparisons(recipe))
    lost = left_out(store.stages)
    notes = [*notes, *lost, *notes_on(outcomes)]
    summary = collect(made, name=recipe.name, recipe_text=text, store=store, pairs=pairs, notes=notes)
    results = headline(summary["evaluations"], summary["comparisons"]) if summary["evaluations"] else []
    write_model_folder(final, folder, store=store, recipe_text=text, results=results, adapter=handed.adapter)
    report = _write_report(summary, root / "runs" / recipe.name)
    tell([*lost, *ending(summary, recipe, final, folder, report)])
    return Finished(summary, final, folder)


def _write_report(summary: Summary, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "report.html", render(summary).encode())
    write_atomically(folder / "run.json", (json.dumps(summary, indent=1) + "\n").encode())
    return folder / "report.html"


def _report_unfinished(
    store: Store, recipe: Recipe | RlRecipe | Job, text: str, root: Path, error: BaseException
) -> None:
    """A report of the stages that a run finished before it stopped, and why it did; none before its base model."""
    if not any(record.stage == "base" for record in store.stages):
        return
    made = made_so_far(store, seed=recipe.seeds[0], unfinished=masked(_reason(error)))
    summary = collect(made, name=recipe.name, recipe_text=text, store=store, pairs=[], notes=[])
    report = _write_report(summary, root / "runs" / recipe.name)
    print(sanitized(f"report of what is there: {report}"), file=sys.stderr, flush=True)


def _reason(error: BaseException) -> str:
    """Why a run stopped, for its report."""
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return error.rule if isinstance(error, UserError) else f"{type(error).__name__} {error}".strip()


def _make_sources(store: Store, recipe: Recipe | RlRecipe) -> None:
    """Tables are read before anything else: a broken row may not come up after hours, or after money was spent."""
    before = store.keys()
    for seed in seeds(dataclasses.replace(store, stages=[]), recipe):
        for name in (*recipe.sources, *(recipe.open if isinstance(recipe, Recipe) else ())):
            seed.problems(name)
    store.ahead |= store.keys() - before


def _refuse_absent_servers(planned: Store, recipe: Recipe | RlRecipe | Job) -> None:
    """An endpoint or a rollout server that is needed has to answer now; where all is there, it may be gone."""
    missing = [record for record in planned.stages if not record.cached]
    teachers = _teachers_asked(recipe, missing)
    for endpoint in {teacher.endpoint.url: teacher.endpoint for teacher in teachers if teacher.endpoint}.values():
        Endpoint(endpoint).refuse_absent()
    match recipe:
        case Recipe():
            runs = recipe.all_grpo()
        case RlRecipe():
            runs = list(recipe.runs().values())
        case _:
            runs = [recipe.grpo] if isinstance(recipe, GrpoRecipe) else []
    sampled = any(record.stage == "grpo" for record in missing)
    servers = {config.engine_url for config in runs if config.engine == "vllm" and sampled}
    servers |= {teacher.engine_url for teacher in teachers if teacher.engine_url is not None}
    for url in sorted(servers):
        token = os.environ.get("AFTERBASE_ROLLOUT_TOKEN")
        with contextlib.closing(Client(url, token=token, deadlines=Deadlines())) as client:
            refuse_absent(client)


def _teachers_asked(recipe: Recipe | RlRecipe | Job, missing: Sequence[StageRecord]) -> list[Teacher]:
    """The teachers of domains whose drafts, or of prompts whose answers, are still to be written."""
    if not isinstance(recipe, Recipe):
        return recipe.teachers() if any(record.stage == OWN_ANSWERS for record in missing) else []
    drafted = [record.name for record in missing if record.stage in ("draft", OPEN_ANSWERS)]
    found = [recipe.teacher_of(name) for name in recipe.names if any(stage.startswith(f"{name} ") for stage in drafted)]
    return [teacher for teacher in found if teacher is not None]
