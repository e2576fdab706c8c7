"""The folder of an unfinished stage, `store/.work/KEY/`: how a process begins there, and how it becomes an artifact.

payload/          what the stage has made so far; empty again for each process
scratch/          the stage's own checkpoints
metrics.jsonl     what was measured so far
environment.json  threads, library versions and machine that the stage began with
seconds.json      when this process began, and how long earlier ones worked
"""

import json
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from afterbase.core.artifacts.atomic_writes import sync, write_atomically
from afterbase.core.errors import UserError
from afterbase.core.longer_run import Shorter, begin_anew, begin_with, keep_state

_ENVIRONMENT, _SECONDS = "environment.json", "seconds.json"


def environment(threads: int) -> dict[str, str | int]:
    """What changes numbers: threads, library versions, the kind of machine."""
    from importlib.metadata import version  # here: importing it costs the command line's start

    return {
        "threads": threads,
        "torch": version("torch"),
        "transformers": version("transformers"),
        "machine": platform.machine(),
    }


def begin(work: Path, now: Mapping[str, str | int], shorter: Shorter | None, root: Path) -> float:
    """Empty the payload; gives the seconds that earlier processes worked on what is there.

    With nothing to resume from: the state and metrics of a shorter run of the store in `root`, where one serves, else
    no state and no metrics. `now` is the environment. A resume under another thread count or library version would
    change numbers, and is refused.
    """
    (work / "scratch").mkdir(parents=True, exist_ok=True)
    noted, earlier = work / _ENVIRONMENT, 0.0
    fresh = not any((work / "scratch").iterdir())
    if fresh:
        (work / "metrics.jsonl").unlink(missing_ok=True)
        begin_anew(work)
    elif (then := json.loads(noted.read_text())) != now:
        moved = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        raise UserError(
            "an interrupted stage is resumed under the environment that it began in",
            got=", ".join(f"{name} {then.get(name)} then, {now.get(name)} now" for name in moved),
            remedy=f"go back to {', '.join(f'{name} = {then.get(name)}' for name in moved)}, or delete {work} "
            "to run the stage from its start",
        )
    else:
        earlier = _seconds_until_now(work)
    write_atomically(noted, json.dumps(now).encode())
    write_atomically(work / _SECONDS, json.dumps({"began": time.time(), "earlier": earlier}).encode())
    if fresh and shorter is not None and not shorter.why_not:
        begin_with(shorter, root / shorter.key, work)
    if (work / "payload").exists():
        shutil.rmtree(work / "payload")
    (work / "payload").mkdir()
    return earlier


def publish(work: Path, final: Path) -> None:
    """Move a work folder with a manifest to its place; may be repeated after a kill at any point of it."""
    keep_state(work, json.loads((work / "manifest.json").read_text()))
    shutil.rmtree(work / "scratch", ignore_errors=True)
    for name in (_ENVIRONMENT, _SECONDS):
        (work / name).unlink(missing_ok=True)
    if final.exists():  # a folder without a manifest is nobody's finished work
        shutil.rmtree(final)
    work.rename(final)
    sync(final.parent)


def _seconds_until_now(work: Path) -> float:
    """How long earlier processes worked: each until it last wrote metrics or a checkpoint, not until this one began."""
    path = work / _SECONDS
    if not path.is_file():  # of a version that did not count
        return 0.0
    noted = json.loads(path.read_text())
    written = [file.stat().st_mtime for file in (work / "scratch").rglob("*") if file.is_file()]
    if (metrics := work / "metrics.jsonl").is_file():
        written.append(metrics.stat().st_mtime)
    return noted["earlier"] + max(0.0, max(written, default=0.0) - noted["began"])
