"""What a finished run was made from and what it left, so that the same command finds at once that nothing changed.

`runs/NAME/made_from.json` holds digests of the recipe, of afterbase itself, of the files outside the store that the
recipe names, and of report and model folder; and the run's stages. If all of them are as they were, the run would find
every stage in the store, and write what is there already. Whatever is other, missing or cannot be told means that the
run walks through its stages, as it does the first time. None of this imports torch.

Nothing is noted of a run whose files changed while it ran, and of one that people review: their decisions are no files
of the recipe.

Does not cover: payload that was changed in the store after it was finished, and another source of an installed package
under the same version.
"""

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from afterbase.core.artifacts.atomic_writes import write_atomically
from afterbase.core.artifacts.digests import Fingerprints, fingerprints, folder_digest, same_content
from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Cost, StageRecord, Store
from afterbase.recipe import Job, Recipe, RlRecipe
from afterbase.recipe.outside_files import outside_files
from afterbase.report.summary import Summary

_NAME, _FORMAT = "made_from.json", 1
_PACKAGE = Path(__file__).parents[2]

AnyRun = Recipe | RlRecipe | Job


@dataclass(frozen=True)
class Handed:
    """What beside the recipe decides the report and the model folder: the recipe's text, and where the model goes.

    With `adapter` it is handed over as the LoRA adapter alone.
    """

    text: str
    model: Path
    adapter: bool = False
    call: str = ""
    """What was said where the recipe was chosen by a call, and not written by its user."""


@dataclass(frozen=True)
class MadeFrom:
    """What a run is made from, as digests; `outside` are the files that its recipe names."""

    recipe: str
    software: str
    outside: Fingerprints

    @classmethod
    def now(cls, recipe: AnyRun, known: Fingerprints | None = None) -> "MadeFrom | None":
        """Of this moment; None where it cannot be told. A file that is not there is the run's to tell."""
        if isinstance(recipe, Recipe) and recipe.review:
            return None
        try:
            outside = fingerprints(outside_files(recipe), known)
        except (UserError, OSError):
            return None
        where = [os.getcwd(), type(recipe).__name__, recipe.model_dump(mode="json")]
        return cls(_digest(where), _software(), outside)

    def same(self, other: "MadeFrom") -> bool:
        """Whether both say the same, whenever the files were last looked at."""
        known = (self.recipe, self.software) == (other.recipe, other.software)
        return known and same_content(self.outside, other.outside)


@dataclass(frozen=True)
class LastRun:
    """The finished run that the same command would repeat: its stages, all cached, and the last model."""

    stages: list[StageRecord]
    final: Artifact
    summary: Summary


def note_run(
    began: MadeFrom | None, recipe: AnyRun, root: Path, handed: Handed, stages: Sequence[StageRecord], final: Artifact
) -> None:
    """Write down what a run that has ended was made from, if that is still as it was when the run `began`."""
    path = _folder(root, recipe.name) / _NAME
    now = None if began is None else MadeFrom.now(recipe, began.outside)
    if began is None or now is None or not now.same(began):
        path.unlink(missing_ok=True)
        return
    note = {
        "format": _FORMAT,
        **asdict(now),
        "text": handed.text,
        "call": handed.call,
        "handed": _handed(root, handed),
        "left": fingerprints(_left(root, recipe, handed)),
        "stages": [_stage(record) for record in stages],
        "final": [final.key, final.name],
    }
    write_atomically(path, (json.dumps(note) + "\n").encode())


def noted_text(root: Path, name: str, *, call: str | None = None) -> str | None:
    """The text of the recipe that the run of that name was made with, by that call where one is given; else None."""
    note = _note(root, name)
    return None if note is None or call not in (None, note["call"]) else note["text"]


def last_run(recipe: AnyRun, root: Path, handed: Handed) -> LastRun | None:
    """The run below `root` that this one would repeat, to the last byte of report and model; None where it would not.

    Notes what it had to read again, for the next time.
    """
    note = _note(root, recipe.name)
    if note is None or note["handed"] != _handed(root, handed):
        return None
    stages = _unchanged_stages(note, recipe, root)
    try:
        left = fingerprints(_left(root, recipe, handed), note["left"])
    except OSError:
        return None
    if stages is None or not same_content(left, note["left"]):
        return None
    if left != note["left"]:
        write_atomically(_folder(root, recipe.name) / _NAME, (json.dumps({**note, "left": left}) + "\n").encode())
    key, name = note["final"]
    final = Store(root / "store").find(key, name)
    assert final is not None, "it is one of the stages"
    summary = json.loads((_folder(root, recipe.name) / "run.json").read_text())
    return LastRun(stages, final, summary)


def cached_stages(recipe: AnyRun, root: Path) -> list[StageRecord] | None:
    """The stages of a run that is there as a whole, whatever became of its report; None where something is to do."""
    note = _note(root, recipe.name)
    return None if note is None else _unchanged_stages(note, recipe, root)


def _unchanged_stages(note: Mapping[str, Any], recipe: AnyRun, root: Path) -> list[StageRecord] | None:
    then = MadeFrom(note["recipe"], note["software"], note["outside"])
    now = MadeFrom.now(recipe, then.outside)
    if now is None or not now.same(then):
        return None
    store = Store(root / "store")
    found: dict[str, Artifact] = {}
    records = []
    for stage in note["stages"]:
        artifact = store.find(stage["key"], stage["name"])
        if artifact is None or artifact.digest != stage["digest"] or not artifact.payload.is_dir():
            return None
        found[artifact.key] = artifact
        inputs = tuple(found[key] for key in stage["inputs"] if key in found)
        seconds = artifact.manifest["seconds"]
        records.append(
            StageRecord(stage["name"], stage["stage"], artifact, True, seconds, inputs, Cost(**stage["cost"]))
        )
    return records


def _stage(record: StageRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "stage": record.stage,
        "key": record.artifact.key,
        "digest": record.artifact.digest,
        "inputs": [made_from.key for made_from in record.inputs],
        "cost": asdict(record.cost),
    }


def _folder(root: Path, name: str) -> Path:
    return root / "runs" / name


def _note(root: Path, name: str) -> dict[str, Any] | None:
    """What is noted of the run of that name; None without a note that this version wrote."""
    try:
        note = json.loads((_folder(root, name) / _NAME).read_text())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) and note.get("format") == _FORMAT else None


def _handed(root: Path, handed: Handed) -> str:
    return _digest([handed.text, str(root), str(handed.model), handed.adapter])


def _left(root: Path, recipe: AnyRun, handed: Handed) -> list[Path]:
    """The report, the summary, and every file in the model's folder."""
    folder = _folder(root, recipe.name)
    inside = [path for path in handed.model.rglob("*") if path.is_file() or path.is_symlink()]
    return [folder / "report.html", folder / "run.json", *inside]


def _software() -> str:
    """Of afterbase's own files, of the interpreter, and of what is installed: the folders of metadata name versions."""
    installed = [
        entry.name
        for folder in map(Path, sys.path)
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.suffix in (".dist-info", ".egg-info")
    ]
    return _digest([folder_digest(_PACKAGE, skipped="__pycache__"), platform.python_version(), sorted(installed)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
