"""What `afterbase run` and `afterbase plan` do around the recipe: checks first, then the program, then the report."""

import json
import random
import shutil
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.store import Cost, StageRecord, Store, write_atomically
from afterbase.data.domains import DOMAINS
from afterbase.data.problems import refuse_rejected_golds
from afterbase.model.load import find
from afterbase.recipe import BaseRecipe, Recipe, load_recipe
from afterbase.report.collect import collect, teacher_tokens
from afterbase.report.html import render
from afterbase.report.table import final_table
from afterbase.run import Outcome, comparisons, post_train, run_base
from afterbase.verify.sandbox import available

_FREE_BYTES = 2 << 30  # what a recipe's checkpoints may need on a disk
_GOLDS = 20  # problems a domain whose gold is verified before anything is trained
# Seconds a token on two cores, for plans where no earlier run in the store has measured them.
_TRAINED, _GENERATED, _VERIFIED = 1 / 5000, 1 / 6000, 0.002


def run(path: Path, root: Path) -> None:
    """Run the recipe in a file; ends with the table and the report's path."""
    recipe = load_recipe(path)
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    store = Store(root / "store", progress=Progress(), threads=recipe.threads)
    console = Console()
    if isinstance(recipe, BaseRecipe):
        _refuse_full_disk(root)
        artifact = run_base(store, recipe)
        console.print((artifact.payload / "facts.json").read_text())
        console.print(f"base model: {next(r.artifact.payload for r in store.stages if r.name == 'base')}")
        return
    recipe, notes = _preflight(recipe, root)
    for note in notes:
        console.print(note)
    outcomes = _all_seeds(store, recipe)
    folder = root / "runs" / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    summary = collect(
        name=recipe.name,
        recipe_text=path.read_text(),
        store=store,
        answers={o.seed: o.answers for o in outcomes},
        pairs=list(comparisons(recipe)),
        curves=outcomes[0].curves,
        data=outcomes[0].data,
        final=outcomes[0].final_model(),
        notes=[*notes, *_teacher_notes(outcomes[0]), *_reward_model_notes(outcomes)],
    )
    write_atomically(folder / "report.html", render(summary).encode())
    write_atomically(folder / "run.json", (json.dumps(summary, indent=1) + "\n").encode())
    console.print(final_table(summary["evaluations"]))
    console.print(f"report: {folder / 'report.html'}")


def plan(path: Path, root: Path) -> None:
    """Print the stages of a recipe, what is cached, and what each will cost."""
    recipe = load_recipe(path)
    store = Store(root / "store", plan_only=True)
    if isinstance(recipe, Recipe):
        recipe, _ = _preflight(recipe, root)
        _all_seeds(store, recipe)
    else:
        run_base(store, recipe)
    table = Table("stage", "from", "state", "trained", "generated", "verified", "minutes", title=f"plan of {recipe.name}")
    rates = _measured_rates(store)
    left = 0.0
    for record in store.stages:
        seconds = record.seconds if record.cached else _seconds(record, rates)
        left += 0.0 if record.cached else seconds
        cost = record.cost
        table.add_row(
            record.name,
            ", ".join(dict.fromkeys(a.name for a in record.inputs)),
            f"cached {record.artifact.key[:8]}" if record.cached else "to run",
            *(f"{n:,}" if n else "" for n in (cost.trained, cost.generated, cost.verified)),
            f"{seconds / 60:.1f}",
        )
    console = Console()
    console.print(table)
    done = sum(r.cached for r in store.stages)
    console.print(f"{len(store.stages)} stages, {done} cached; about {left / 60:.0f} minutes to run, token counts at most")


def _all_seeds(store: Store, recipe: Recipe) -> list[Outcome]:
    several = len(recipe.seeds) > 1
    return [post_train(store.labelled(f" [seed {s}]" if several else ""), recipe, s) for s in recipe.seeds]


def _preflight(recipe: Recipe, root: Path) -> tuple[Recipe, list[str]]:
    """Refuse early what would fail late; leave out the code domain where programs cannot be isolated, and say so."""
    find(recipe.base)
    _refuse_full_disk(root)
    notes = []
    missing = available() if "code" in recipe.domains else None
    if missing is not None:
        others = {name: problems for name, problems in recipe.domains.items() if name != "code"}
        recipe = Recipe.model_validate({**dict(recipe), "domains": others})
        notes.append(f"The code domain is left out: programs cannot be isolated on this machine ({missing}).")
    for name in recipe.domains:
        rng = random.Random(0)
        refuse_rejected_golds([DOMAINS[name].problem(rng) for _ in range(_GOLDS)])
    return recipe, notes


def _refuse_full_disk(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
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
        notes.append(f"{domain}: the teacher writes {reflective:.0f} tokens an answer, original responses {original:.0f}.")
    return notes


def _reward_model_notes(outcomes: list[Outcome]) -> list[str]:
    reports = [json.loads((o.reward_model.payload / "accuracy.json").read_text()) for o in outcomes if o.reward_model]
    return [
        f"Reward model: {r['held_out_accuracy']:.1%} of {r['held_out_pairs']} held-out pairs ranked right, "
        f"after {r['training_pairs']} training pairs."
        for r in reports
    ]


def _measured_rates(store: Store) -> dict[str, float]:
    """By stage kind: seconds it took here over seconds that the assumed rates give."""
    ratios: dict[str, list[float]] = {}
    for path in store.root.glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        assumed = _assumed(Cost(**manifest["cost"]))
        if assumed:
            ratios.setdefault(manifest["stage"], []).append(manifest["seconds"] / assumed)
    return {stage: sum(r) / len(r) for stage, r in ratios.items()}


def _assumed(cost: Cost) -> float:
    return cost.trained * _TRAINED + cost.generated * _GENERATED + cost.verified * _VERIFIED


def _seconds(record: StageRecord, rates: dict[str, float]) -> float:
    return _assumed(record.cost) * rates.get(record.stage, 1.0)
