"""`afterbase demo`, `init`, `run`, `plan`, `show` and `trace`: a recipe's run, and what is known of it."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from afterbase.cli.parameters import RecipeFile, Root, RunName
from afterbase.core.errors import UserError, Waiting
from afterbase.core.sanitize import sanitized

_WAITING = 75  # the exit status of a run that waits for people: try again later, by sysexits.h


def demo(
    recipe: Annotated[
        Literal["quickstart", "smoke"],
        typer.Argument(metavar="RECIPE", help="quickstart, or smoke: each stage in a minute, and nothing is learnt."),
    ] = "quickstart",
    root: Annotated[Path, typer.Option("--root", "--out", help="Where `runs/` and `store/` lie.")] = Path(),
) -> None:
    """Run the whole recipe on the shipped tiny base: the same as `run`, without a recipe's file."""
    from afterbase.recipe import shipped_recipe

    run(shipped_recipe(recipe), root)


def run(recipe: RecipeFile, root: Root = Path()) -> None:
    """Run a recipe, or go on where it stopped; ends with what was learnt and a report, or where people review first."""
    from afterbase.cli import start_run

    try:
        start_run.run(recipe, root)
    except Waiting as waiting:
        print(sanitized(f"{waiting.rule}\n  {waiting.got}\n  next: {waiting.remedy}"), flush=True)
        raise typer.Exit(_WAITING) from None


def init(
    model: Annotated[str, typer.Option("--model", help="A shipped model's name, or a Hugging Face folder.")] = "",
    data: Annotated[list[str] | None, typer.Option("--data", help="A file of rows; may be repeated.")] = None,
    kind: Annotated[
        str, typer.Option("--kind", help="sft, preference, reward-model, rl or post-training; told by the rows.")
    ] = "",
    out: Annotated[Path, typer.Option("--out", help="The recipe to write.")] = Path("recipe.toml"),
) -> None:
    """Write a recipe with comments for a model and files of yours; in a terminal it asks for what is not given."""
    asks = sys.stdin.isatty()
    model = model or (typer.prompt("Model (a folder, or tiny-v3)") if asks else "")
    files = data or (typer.prompt("Files of rows, with spaces between").split() if asks else [])
    if not model or not files:
        missing = "--model" if not model else "--data"
        raise UserError("a recipe is of a model and of rows", got=f"no {missing}", remedy="give --model and --data")
    from afterbase.cli.recipes.init_recipe import KINDS, init_recipe

    if kind and kind not in KINDS:
        raise UserError("a recipe is of a kind", got=f"--kind {kind}", remedy=f"use one of {', '.join(KINDS)}")
    for line in init_recipe(model, files, KINDS.get(kind), out):
        print(sanitized(line))


def plan(recipe: RecipeFile, root: Root = Path()) -> None:
    """Show the stages of a recipe: what is cached, and what each will cost."""
    from afterbase.cli.recipes import plan_recipe

    plan_recipe.plan(recipe, root)


def show(
    run: RunName, root: Root = Path(), as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """Show the final table of a run, or of a single training what it measured."""
    summary = _summary(run, root)
    if as_json:
        keys = ("run", "stages", "evaluations", "comparisons", "model_folder", "unfinished")
        print(json.dumps({key: summary.get(key) for key in keys}, indent=2))
        return
    from rich.console import Console

    from afterbase.report.measures import sentences
    from afterbase.report.table import final_table

    if summary.get("unfinished"):
        print(sanitized(f"stopped early: {summary['unfinished']}"))
    if summary["evaluations"]:
        Console().print(final_table(summary["evaluations"]))
    else:
        for line in sentences(summary.get("measures", [])):
            print(sanitized(line))
    print(sanitized(f"report: {root / 'runs' / run / 'report.html'}"))
    if summary.get("model_folder"):
        print(sanitized(f"model: {summary['model_folder']}"))


def trace(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An answer's or a sample's id.")],
    root: Root = Path(),
) -> None:
    """Walk from an answer or a sample back to its problem, its teacher and the base model."""
    from rich.console import Console

    from afterbase.core.store import Store
    from afterbase.report.trace import trace as lineage

    Console().print(lineage(identifier, store=Store(root / "store"), runs=root / "runs"))


def _summary(run: str, root: Path) -> dict[str, Any]:
    path = root / "runs" / run / "run.json"
    if not path.is_file():
        runs = sorted(p.parent.name for p in (root / "runs").glob("*/run.json"))
        known = f"use one of {', '.join(runs)}" if runs else "run a recipe first: afterbase demo"
        raise UserError("`show` takes the name of a finished run", got=f"`{run}`, and no {path}", remedy=known)
    return json.loads(path.read_text())
