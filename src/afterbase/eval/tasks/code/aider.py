"""Aider's benchmarks: exercises that a model solves by editing files, 133 in Python or 225 in six languages.

The report: edits in the form of diffs. Aider's own program in its own container asks the endpoint, applies the edits,
runs the tests, and shows their output to the model for a second try.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from afterbase.eval.benchmarks.subject import Subject
from afterbase.eval.tasks.code.harness import Harness, drive

_AIDER = "aider"  # the checkout's name in the folder of --data
_IMAGE = "aider-benchmark"
_RUN = "afterbase"


def _needs(exercises: str) -> Callable[[Subject, Path | None], str | None]:
    def needs(subject: Subject, data: Path | None) -> str | None:
        if subject.url is None:
            return "MODEL as an endpoint (afterbase serve MODEL), for its program talks to one"
        if shutil.which("docker") is None:
            return "docker, in which the written programs are run"
        checkout = Path("DIR") if data is None else data
        if data is None or not (checkout / _AIDER / "benchmark/benchmark.py").is_file():
            return f"--data DIR with a checkout of github.com/Aider-AI/aider as DIR/{_AIDER}"
        if not (checkout / _AIDER / "tmp.benchmarks" / exercises).is_dir():
            return f"the exercises in {checkout / _AIDER / 'tmp.benchmarks' / exercises} (Aider's benchmark/README.md)"
        seen = subprocess.run(["docker", "image", "inspect", _IMAGE], capture_output=True, check=False)
        return None if seen.returncode == 0 else f"the image {_IMAGE} (DIR/{_AIDER}/benchmark/docker_build.sh)"

    return needs


def _run(exercises: str) -> Callable[[Subject, Path, int | None, Path], dict[str, float]]:
    def run(subject: Subject, data: Path, limit: int | None, out: Path) -> dict[str, float]:
        """1 for each exercise whose tests pass within Aider's two tries, edits as diffs."""
        assert subject.url is not None
        checkout, results = (data / _AIDER).resolve(), (out / exercises).resolve()
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        inside = ["./benchmark/benchmark.py", _RUN, "--new", "--model", f"openai/{subject.name}", "--threads", "1"]
        inside += ["--edit-format", "diff", "--exercises-dir", f"/exercises/{exercises}"]
        inside += ["--num-tests", str(limit)] if limit is not None else []
        volumes = {checkout: "/aider", checkout / "tmp.benchmarks": "/exercises", results: "/benchmarks"}
        mounts = [part for host, place in volumes.items() for part in ("-v", f"{host}:{place}")]
        variables = {"AIDER_DOCKER": "1", "AIDER_BENCHMARK_DIR": "/benchmarks", "OPENAI_API_BASE": subject.url}
        settings = [part for name, value in variables.items() for part in ("-e", f"{name}={value}")]
        command = ["docker", "run", "--rm", "--network", "host", "-w", "/aider", *mounts, *settings]
        drive([*command, "-e", "OPENAI_API_KEY", _IMAGE, *inside], out)
        values = {}
        for path in sorted(results.glob("**/.aider.results.json")):
            outcomes = json.loads(path.read_text()).get("tests_outcomes") or [False]
            values[str(path.parent.relative_to(results))] = float(bool(outcomes[-1]))
        return values

    return run


def _harness(title: str, exercises: str) -> Harness:
    return Harness(
        title=title, licence="Apache-2.0", metric="pass_rate_2", needs=_needs(exercises), run=_run(exercises)
    )


EDIT = _harness("Aider-Edit", "exercism-python")
POLYGLOT = _harness("Aider-Polyglot", "polyglot-benchmark")
