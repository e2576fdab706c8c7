"""SWE-bench Verified (Jimenez et al. 2024, arXiv 2310.06770; OpenAI 2024): 500 issues of Python repositories.

The report: Agentless (Xia et al. 2024, arXiv 2407.01489) writes the patches. It is a program of several stages and is
not driven from here: its file of patches is an input, and SWE-bench's own harness judges it.
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

from pydantic import BaseModel

from afterbase.core.rows import read_rows
from afterbase.eval.benchmarks.subject import Subject
from afterbase.eval.tasks.code.harness import Harness, drive

_PREDICTIONS = "swe_bench_verified_predictions.jsonl"
_VERIFIED = 500
_RUN = "afterbase"


class Prediction(BaseModel):
    """One line of a file of patches, in the form that SWE-bench takes."""

    instance_id: str
    model_name_or_path: str
    model_patch: str | None


def _needs(subject: Subject, data: Path | None) -> str | None:
    if importlib.util.find_spec("swebench") is None:
        return "the package `swebench` (pip install swebench)"
    if shutil.which("docker") is None:
        return "docker, in which the repositories' tests run"
    if data is None or not (data / _PREDICTIONS).is_file():
        patches = "the patches that Agentless (github.com/OpenAutoCoder/Agentless) made with the model"
        return f"--data DIR with {_PREDICTIONS}: {patches}"
    others = {row.model_name_or_path for row in read_rows(data / _PREDICTIONS, Prediction)} - {subject.name}
    return f"patches of `{subject.name}` in {_PREDICTIONS}, which has those of {sorted(others)}" if others else None


def _run(subject: Subject, data: Path, limit: int | None, out: Path) -> dict[str, float]:
    """1 for each issue that is resolved; an issue without a patch is not, and counts unless there is a limit."""
    names = [row.instance_id for row in read_rows(data / _PREDICTIONS, Prediction)][:limit]
    command = [sys.executable, "-m", "swebench.harness.run_evaluation", "--run_id", _RUN, "--split", "test"]
    command += ["--dataset_name", "princeton-nlp/SWE-bench_Verified", "--instance_ids", *names]
    command += ["--predictions_path", str((data / _PREDICTIONS).resolve())]
    drive(command, out)
    report = json.loads((out / f"{subject.name.replace('/', '__')}.{_RUN}.json").read_text())
    resolved = set(report["resolved_ids"])
    values = {name: float(name in resolved) for name in names}
    unsolved = 0 if limit is not None else max(0, _VERIFIED - len(names))
    return values | {f"without a patch {i}": 0.0 for i in range(unsolved)}


HARNESS = Harness(
    title="SWE-bench Verified",
    licence="MIT",
    metric="resolved",
    needs=_needs,
    run=_run,
)
