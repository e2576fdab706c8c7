"""What comes before a run's long imports: is it made already, is another process at it, is its recipe sound?"""

import contextlib
import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from afterbase.cli.recipes.last_run import AnyRun, Handed, last_run, noted_text
from afterbase.cli.run_ending import Finished, ending, left_out, tell
from afterbase.core import distributed as ranks
from afterbase.core.artifacts.run_lock import run_lock
from afterbase.core.config import config_of
from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.secret_masking import masked
from afterbase.recipe import BaseRecipe, Job, load_recipe

_FREE_BYTES = 2 << 30  # what a recipe's checkpoints may need on a disk


def run(path: Path, root: Path) -> None:
    """Run the recipe in a file, or say that the same run is there."""
    recipe = load_recipe(path)
    if not isinstance(recipe, BaseRecipe):
        handed = Handed(masked(path.read_text()), root / "runs" / recipe.name / "model")
        if repeated(recipe, root, handed) is not None:
            return
        from afterbase.cli.recipes.preflight import check_without_model

        check_without_model(recipe)
    from afterbase.cli import run_recipe  # here: it imports what trains

    with alone(root, recipe.name):
        run_recipe.run(path, root)


@contextlib.contextmanager
def alone(root: Path, name: str) -> Iterator[None]:
    """Inside the block no other process makes the run of that name; under `torchrun` the first rank stands for all."""
    _refuse_root(root)
    with run_lock(root, name) if ranks.rank() == 0 else contextlib.nullcontext():
        yield


def repeated(recipe: AnyRun, root: Path, handed: Handed) -> Finished | None:
    """The finished run that this one would repeat, told as its end is told; None where there is something to do."""
    if ranks.size() > 1 or noted_text(root, recipe.name) is None:
        return None
    with alone(root, recipe.name):
        last = last_run(recipe, root, handed)
    if last is None:
        return None
    progress, names = Progress(), dict.fromkeys((record.name, record.artifact.key) for record in last.stages)
    for name, key in names:
        progress.skip(name, key[:12])
    report = root / "runs" / recipe.name / "report.html"
    said = f"unchanged: all {len(names)} stages, report and model are as the last run left them"
    tell([said, *left_out(last.stages), *ending(last.summary, recipe, last.final, handed.model, report)])
    return Finished(last.summary, last.final, handed.model)


def repeated_call(kind: type[Job], name: str, root: Path, handed: Handed) -> Finished | None:
    """The same of a call that chooses a recipe by itself: it would choose the one that its last run was made with.

    What it chooses follows from the call, from its files, and from afterbase itself; `last_run` compares all of them.
    """
    text = noted_text(root, name, call=handed.call)
    if text is None:
        return None
    try:
        recipe = config_of(tomllib.loads(text), kind, "the last run")
    except UserError:  # something that it names is gone
        return None
    return repeated(recipe, root, Handed(text, handed.model, handed.adapter, handed.call))


def call_of(**said: object) -> str:
    """A call in one text: what was said, in any order."""
    return json.dumps(said, sort_keys=True, default=str)


def _refuse_root(root: Path) -> None:
    """UserError for a folder in which nothing can be written, or on a disk that is full."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=".afterbase-", dir=root).cleanup()
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
