"""The last lines of a run, which need none of the imports of what trains."""

import json
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from afterbase.core.sanitize import sanitized
from afterbase.core.store import Artifact, StageRecord
from afterbase.recipe import Job, Recipe, RlRecipe
from afterbase.report.ending import learnt, places
from afterbase.report.measures import measured
from afterbase.report.summary import Summary


@dataclass(frozen=True)
class Finished:
    """What a run left: its summary (run.json), its last model in the store, and the folder that hands it over."""

    summary: Summary
    final: Artifact
    model: Path


def ending(summary: Summary, recipe: Recipe | RlRecipe | Job, final: Artifact, folder: Path, report: Path) -> list[str]:
    """The last lines of a run; all numbers are in the report, and shown by `afterbase show`."""
    handed_over = report.parent / "model"
    short = folder == handed_over and handed_over.absolute() == (Path("runs") / recipe.name / "model").absolute()
    name = recipe.name if short else str(folder)
    if isinstance(recipe, Job):
        return [*measured(final), *places(folder, report, name=name)]
    reasoning = [domain for domain in recipe.names if domain not in recipe.open_domains]
    *where, use = places(folder, report, name=name)
    return [
        *learnt(summary["evaluations"], summary["comparisons"], reasoning),
        *where,
        f"{use}; all numbers: {show_command(report)}",
        f"your own data: afterbase sft {shlex.quote(name)} rows.jsonl --out tuned, or afterbase init (docs/jobs.md)",
    ]


def show_command(report: Path) -> str:
    """What shows all numbers of the run whose report lies there, as ROOT/runs/NAME/report.html.

    >>> show_command(Path("runs/quickstart/report.html"))
    'afterbase show quickstart'
    """
    root, name = report.parents[2], report.parent.name
    elsewhere = "" if root.absolute() == Path.cwd() else f" --root {shlex.quote(str(root))}"
    return f"afterbase show {name}{elsewhere}"


def tell(lines: Sequence[str]) -> None:
    """Print lines, in a terminal those that are longer than it in pieces."""
    for line in map(sanitized, lines):
        path = line.startswith(("model: ", "report: "))
        if sys.stdout.isatty() and not path:
            line = textwrap.fill(
                line, shutil.get_terminal_size().columns, subsequent_indent="  ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
        print(line, flush=True)


def left_out(stages: Iterable[StageRecord]) -> list[str]:
    """Of each training stage, how many of its rows it left out, and why the first of them."""
    notes = []
    for stage in stages:
        for report in (stage.artifact.payload / name for name in ("data.json", "accuracy.json")):
            dropped = json.loads(report.read_text()).get("dropped") if report.is_file() else None
            if isinstance(dropped, list) and dropped:
                first = dropped[0]
                which, why = first.get("row") or first.get("id"), first.get("reason", "too long")
                tokens = f" ({first['tokens']} tokens)" if "tokens" in first else ""
                notes.append(
                    f"{stage.name}: {len(dropped):,} left out; the first, {which}: {why}{tokens}. See {report}."
                )
    return notes
