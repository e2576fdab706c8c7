"""Where a longer run of a finished stage goes on: at the state that the shorter one kept beside its result.

    store/KEY/resume/step-00000040/...   the stage's own checkpoint after its last step, and the best one where it
                                         measures and another is best

A stage says by which setting it may grow (`Growth`), and says so only where a run with a larger value begins with
exactly the steps of one with a smaller. Then the result is that of a run from the start, bit for bit. What the stage
does not decide is decided here: stage, version, inputs and all other settings are equal, and so are threads, library
versions, machine, ranks and device, which change numbers.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = "resume"
_NOTE = "shorter.json"


@dataclass(frozen=True)
class Growth:
    """How a stage may grow: a larger value of `setting` only adds steps; `device` is where they are made.

    `keeps_state`: this run, too, keeps its last state for longer ones.
    """

    setting: str
    device: Callable[[], str]
    keeps_state: bool = True


@dataclass(frozen=True)
class Shorter:
    """The longest of the shorter runs; `change` is the setting's (`steps 40 -> 60`). `why_not` is empty if it serves.

    `seconds` is what its steps took.
    """

    key: str
    change: str
    step: int
    seconds: float
    why_not: str

    @property
    def told(self) -> str:
        """What is made of it, in words.

        >>> Shorter("0123456789abcdef", "steps 40 -> 60", 40, 1.0, "").told
        'goes on from step 40 of 0123456789ab'
        """
        if self.why_not:
            return f"made anew, as {self.key[:12]} {self.why_not}"
        return f"goes on from step {self.step} of {self.key[:12]}"


def shorter_run(
    root: Path, manifests: Sequence[Mapping[str, Any]], growth: Growth, wanted: Mapping[str, Any]
) -> Shorter | None:
    """The longest finished run that serves, else the longest that does not, with the reason; None if there is none.

    `wanted` is the longer run: its stage, version and settings (`what`), its inputs' digests by name, its environment
    and number of ranks. `manifests` are those of the artifacts below `root`.
    """
    what = json.loads(json.dumps(wanted["what"]))
    size = what[growth.setting]
    found = []
    for manifest in manifests:
        then = manifest["what"].get(growth.setting)
        inputs = {name: made_from["digest"] for name, made_from in manifest["inputs"].items()}
        if (
            (manifest["stage"], manifest["version"], inputs) == (wanted["stage"], wanted["version"], wanted["inputs"])
            and {**manifest["what"], growth.setting: size} == what
            and then < size
        ):
            kept = manifest.get("resume", {})
            why_not = _why_not(root / manifest["key"], manifest, growth, wanted)
            change = f"{growth.setting} {then} -> {size}"
            shorter = Shorter(manifest["key"], change, kept.get("step", 0), manifest["seconds"], why_not)
            found.append((not why_not, then, shorter))
    return max(found, key=lambda one: one[:2])[2] if found else None


def _why_not(folder: Path, manifest: Mapping[str, Any], growth: Growth, wanted: Mapping[str, Any]) -> str:
    """Why a run cannot go on from a shorter one; empty if it can."""
    kept = manifest.get("resume")
    if kept is None or not all((folder / _FOLDER / name).is_dir() for name in kept["checkpoints"]):
        return "kept no state to go on from"
    then = {**manifest["environment"], "ranks": manifest["ranks"], "device": kept["device"]}
    now = {**wanted["environment"], "ranks": wanted["ranks"], "device": growth.device()}
    other = [f"{name} {then.get(name)} -> {now[name]}" for name in now if then.get(name) != now[name]]
    return f"was made in another environment: {', '.join(other)}" if other else ""


def begin_with(shorter: Shorter, artifact: Path, work: Path) -> None:
    """Give an empty work folder the shorter run's rows and state; the state appears in `scratch` as a whole."""
    if (artifact / "metrics.jsonl").is_file():
        shutil.copy(artifact / "metrics.jsonl", work / "metrics.jsonl")
    (work / _NOTE).write_text(json.dumps({"key": shorter.key, "step": shorter.step, "seconds": shorter.seconds}))
    part = work / "scratch.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(artifact / _FOLDER, part, copy_function=_link)
    part.replace(work / "scratch")


def begun_with(work: Path) -> dict[str, Any] | None:
    """Key, step and seconds of the shorter run that a work folder began with; None if it began with none."""
    path = work / _NOTE
    return json.loads(path.read_text()) if path.is_file() else None


def begin_anew(work: Path) -> None:
    """Forget the shorter run that an earlier try began with."""
    (work / _NOTE).unlink(missing_ok=True)


def keep_state(work: Path, manifest: Mapping[str, Any]) -> None:
    """Move the checkpoints that a manifest names out of `scratch`; may be repeated after a kill."""
    for name in manifest.get("resume", {}).get("checkpoints", ()):
        if (work / "scratch" / name).is_dir():
            (work / _FOLDER).mkdir(exist_ok=True)
            (work / "scratch" / name).replace(work / _FOLDER / name)
    begin_anew(work)


def _link(source: str, target: str) -> None:
    """A second name for a file that nobody changes, and a copy where the file system has one name a file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
