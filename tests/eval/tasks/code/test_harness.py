"""Benchmarks with programs of their own: what they need is said, and toy programs in their place are driven."""

import json
import stat
import sys
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.subject import Subject
from afterbase.eval.tasks.code import aider, swe_bench_verified
from afterbase.eval.tasks.code.harness import drive


def _never(_: Path):
    pytest.fail("opened a model")


SERVED = Subject(name="toy", digest=None, context=None, plain=False, open=_never, url="http://127.0.0.1:1/v1")
LOCAL = Subject(name="toy", digest=None, context=None, plain=False, open=_never)


def _program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A program in docker's place that writes down its arguments and two exercises' results."""
    programs = tmp_path / "programs"
    programs.mkdir()
    text = """
import json, pathlib, sys
if sys.argv[1] == "run":
    mounts = dict(reversed(m.rsplit(":", 1)) for m in sys.argv if m.count(":") == 1 and m.startswith("/"))
    for name, outcomes in (("a", [False, True]), ("b", [False, False]), ("c", [])):
        folder = pathlib.Path(mounts["/benchmarks"], "2026--afterbase", name)
        folder.mkdir(parents=True)
        (folder / ".aider.results.json").write_text(json.dumps({"tests_outcomes": outcomes}))
    pathlib.Path("arguments.json").write_text(json.dumps(sys.argv[1:]))
"""
    _program(programs, "docker", text)
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path


def test_aider_says_what_is_missing_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    needs = aider.POLYGLOT.needs
    assert "MODEL as an endpoint" in str(needs(LOCAL, tmp_path))
    assert "docker" in str(needs(SERVED, tmp_path))
    _program(tmp_path, "docker", "raise SystemExit(1)")
    assert "checkout of github.com/Aider-AI/aider" in str(needs(SERVED, tmp_path))
    assert "checkout of github.com/Aider-AI/aider" in str(needs(SERVED, None))
    (tmp_path / "aider/benchmark").mkdir(parents=True)
    (tmp_path / "aider/benchmark/benchmark.py").touch()
    assert "tmp.benchmarks/polyglot-benchmark" in str(needs(SERVED, tmp_path))
    (tmp_path / "aider/tmp.benchmarks/polyglot-benchmark").mkdir(parents=True)
    assert "the image aider-benchmark" in str(needs(SERVED, tmp_path))
    _program(tmp_path, "docker", "")
    assert needs(SERVED, tmp_path) is None


def test_aider_is_driven_with_diffs_and_counts_the_last_try(docker):
    (docker / "aider").mkdir()
    values = aider.POLYGLOT.run(SERVED, docker, 3, docker)
    assert sorted(values.values()) == [0, 0, 1]
    arguments = json.loads((docker / "arguments.json").read_text())
    assert arguments[arguments.index("--edit-format") :][:2] == ["--edit-format", "diff"]
    assert arguments[-2:] == ["--num-tests", "3"]
    assert "openai/toy" in arguments
    assert "OPENAI_API_BASE=http://127.0.0.1:1/v1" in arguments


def _predictions(folder: Path, *names: str) -> None:
    rows = [{"instance_id": str(i), "model_name_or_path": name, "model_patch": ""} for i, name in enumerate(names)]
    file = folder / "swe_bench_verified_predictions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_swe_bench_wants_its_harness_and_patches_of_this_model(docker, monkeypatch):
    needs = swe_bench_verified.HARNESS.needs
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install swebench" in str(needs(LOCAL, docker))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert "Agentless" in str(needs(LOCAL, docker))
    _predictions(docker, "toy", "other")
    assert "which has those of ['other']" in str(needs(LOCAL, docker))
    _predictions(docker, "toy", "toy")
    assert needs(LOCAL, docker) is None


@pytest.mark.parametrize(("limit", "n"), [(None, 500), (1, 1)])
def test_swe_bench_counts_issues_without_a_patch(tmp_path, monkeypatch, limit, n):
    package = tmp_path / "swebench/harness"
    package.mkdir(parents=True)
    (package / "run_evaluation.py").write_text(
        "import json, pathlib\npathlib.Path('toy.afterbase.json').write_text(json.dumps({'resolved_ids': ['0']}))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _predictions(tmp_path, "toy", "toy")
    values = swe_bench_verified.HARNESS.run(LOCAL, tmp_path, limit, tmp_path)
    assert len(values) == n
    assert sum(values.values()) == 1


def test_a_harness_that_fails_gives_no_number(tmp_path):
    with pytest.raises(UserError, match="status 3 of") as raised:
        drive([sys.executable, "-c", "print('broken'); raise SystemExit(3)"], tmp_path)
    assert "broken" in raised.value.got
