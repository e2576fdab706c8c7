"""Benchmarks whose own program runs the model, in containers: it is driven here, and its report read.

Nothing of them is imitated: where the program, its containers or its inputs are missing, that is said, and there is no
number. Their reports tell of no lengths, so that a result has none.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Harness:
    """A benchmark with a program of its own.

    `needs` (subject, folder of --data) is what is missing; `run` (subject, folder, limit, working folder) gives the
    value of each question.
    """

    title: str
    licence: str
    metric: str
    needs: Callable[[Subject, Path | None], str | None]
    run: Callable[[Subject, Path, int | None, Path], dict[str, float]]


def drive(command: Sequence[str], out: Path) -> None:
    """Run a harness in `out`; UserError, with its last words, where it fails."""
    environment = {"OPENAI_API_KEY": "none", **os.environ}
    with (out / "harness.log").open("wb") as log:
        ended = subprocess.run(command, cwd=out, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode != 0:
        last = (out / "harness.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise UserError(
            "a harness ends with a report",
            got=f"status {ended.returncode} of `{command[0]} ...`: {' '.join(last)}",
            remedy=f"see {out / 'harness.log'}",
        )
