"""A whole recipe on a toy model: run, run again, planned, shown, traced, and killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from afterbase import parallel_stages
from afterbase.cli import main as cli
from afterbase.cli import run_recipe
from afterbase.cli.recipes import plan_recipe
from afterbase.core.store import Store, folder_digest
from afterbase.recipe import Recipe, load_recipe
from afterbase.report.summary import Summary


@pytest.fixture(scope="module", autouse=True)
def _threads():
    """A run sets torch's threads for its process; give them back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def _made() -> dict[str, Path]:
    return {}


@pytest.fixture
def finished(_made: dict[str, Path], micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an undisturbed run, made once: the toy model is the same in every test."""
    if not _made:
        _made["root"] = tmp_path_factory.mktemp("micro") / "root"
        run_recipe.run(micro, _made["root"])
    return _made["root"]


def _summary(root: Path) -> Summary:
    return json.loads((root / "runs/micro/run.json").read_text())


def _digests(root: Path) -> dict[str, str]:
    return {stage["name"]: stage["digest"] for stage in _summary(root)["stages"]}


def _artifact(root: Path, name: str):
    store = Store(root / "store")
    [key] = [stage["key"] for stage in _summary(root)["stages"] if stage["name"] == name]
    artifact = store.find(key, name)
    assert artifact is not None
    return artifact


# --- a run ------------------------------------------------------------------------------------------------------


def test_run_is_summarised(finished):
    summary = _summary(finished)
    assert summary.keys() == Summary.__annotations__.keys()
    assert (summary["run"], summary["machine"]["cores"]) == ("micro", os.cpu_count())
    assert not any(stage["cached"] for stage in summary["stages"])
    entries = [(e["checkpoint"], e["domain"], e["decoding"], e["system_prompt"]) for e in summary["evaluations"]]
    assert len(entries) == len(set(entries))
    checkpoints = ["base", "expert SFT", "expert", "SFT", "DPO", "KTO", "GRPO"]
    assert list(dict.fromkeys(e[0] for e in entries)) == checkpoints
    assert {e[:2] for e in entries if e[3]} == {("expert SFT", "arithmetic"), ("expert SFT", "code")}
    assert {(c["a"], c["b"]) for c in summary["comparisons"]} == {
        ("expert SFT", "expert"), ("base", "SFT"), ("SFT", "GRPO"), ("base", "GRPO"),
        ("SFT", "DPO"), ("SFT", "KTO"),
    }  # fmt: skip
    assert {c["domain"] for c in summary["comparisons"]} == {"arithmetic", "code", "all"}


def test_every_artifact_of_a_run_is_whole(finished):
    for stage in _summary(finished)["stages"]:
        artifact = _artifact(finished, stage["name"])
        assert folder_digest(artifact.payload) == stage["digest"]
    assert not [p for p in (finished / "store/.work").iterdir() if p.is_dir()]


def test_report_is_one_page(finished):
    page = (finished / "runs/micro/report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "evaluate GRPO on chat" in page
    for stage in ("SFT", "reward model", "DPO", "KTO", "GRPO"):
        assert f"{stage}: " in page  # its learning curve


def test_preference_pairs_come_from_the_reviewers_edits(finished):
    rows = pq.read_table(_artifact(finished, "preference pairs").payload / "pairs.parquet").to_pylist()
    assert "edit" in {row["source"] for row in rows}


def test_second_run_finds_everything_and_says_the_same(finished, micro, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "root")
    before = _summary(finished)
    run_recipe.run(micro, tmp_path / "root")
    after = _summary(tmp_path / "root")
    assert all(stage["cached"] for stage in after["stages"])
    assert _digests(tmp_path / "root") == _digests(finished)
    for part in ("evaluations", "comparisons", "curves", "flow", "examples", "training_samples", "notes"):
        assert after[part] == before[part]
    assert f"report: {tmp_path / 'root/runs/micro/report.html'}\n" in capsys.readouterr().out


def test_show_prints_the_table_and_json_what_programs_read(finished, monkeypatch, capsys):
    table = _call(monkeypatch, capsys, "show", "micro", "--root", finished)
    assert "checkpoint" in table
    assert "report.html" in table
    shown = json.loads(_call(monkeypatch, capsys, "show", "micro", "--json", "--root", finished))
    assert list(shown) == [
        "run", "stages", "evaluations", "comparisons", "model_folder", "unfinished",
    ]  # fmt: skip
    assert shown == {key: value for key, value in _summary(finished).items() if key in shown}
    assert {"name", "key", "digest", "cached", "seconds"} <= shown["stages"][0].keys()


def test_trace_of_an_answer_reaches_its_problem_its_teacher_and_the_base_model(finished, monkeypatch, capsys):
    [row, *_] = pq.read_table(_artifact(finished, "evaluate GRPO on code").payload / "answers.parquet").to_pylist()
    monkeypatch.setenv("COLUMNS", "1000")
    told = _call(monkeypatch, capsys, "trace", row["id"], "--root", finished)
    assert told.startswith(f"answer {row['id']}: GRPO, greedy\n")
    assert repr(row["text"]) in told
    assert repr(row["prompt"]) in told
    assert f"problem {row['problem_id']} (code, held out)" in told
    for source in ("base model (base)", "code problems (problems)", "reward model (reward_model)", "chat review"):
        assert source in told
    assert "by procedural teacher, reflective" in told


def _call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    monkeypatch.setattr(sys, "argv", ["afterbase", *map(str, arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    return capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_make_the_same_bytes_as_one(finished, micro, tmp_path, capsys):
    micro.write_text(micro.read_text().replace("threads = 1", "threads = 1\nprocesses = 2"))
    run_recipe.run(micro, tmp_path / "root")
    assert _digests(tmp_path / "root") == _digests(finished)
    assert not any(stage["cached"] for stage in _summary(tmp_path / "root")["stages"])
    told = re.findall(r"^(.*): done in", capsys.readouterr().err, re.MULTILINE)  # the experts' processes tell of them
    assert sorted(told) == sorted(_digests(tmp_path / "root"))


def test_no_process_starts_for_what_is_there(finished, micro, monkeypatch):
    micro.write_text(micro.read_text().replace("threads = 1", "threads = 1\nprocesses = 2"))
    recipe = load_recipe(micro)
    assert isinstance(recipe, Recipe)
    monkeypatch.setattr(parallel_stages, "_Worker", lambda *_: pytest.fail("a process was started"))
    store = Store(finished / "store", threads=recipe.threads)
    parallel_stages.make_ahead(store, recipe, finished)
    assert (store.ahead, store.stages) == (set(), [])


# --- a plan -----------------------------------------------------------------------------------------------------


def _planned(out: str) -> dict[str, str]:
    """Stage names of a printed plan, and what it says of their minutes."""
    rows = re.findall(r"^ *\d+  .*?(cached|\d+\.\d)  (\S.*?)(?: <- [\d, ]+)?$", out.replace(" \n", "\n"), re.MULTILINE)
    return {name.strip(): minutes for minutes, name in rows}


def test_plan_lists_what_the_run_makes_and_makes_nothing(finished, micro, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    plan_recipe.plan(micro, tmp_path / "root")
    planned = _planned(capsys.readouterr().out)
    assert list(planned) == list(_digests(finished))
    assert "cached" not in planned.values()
    assert not (tmp_path / "root").exists()


def test_plan_after_the_run_finds_all_of_it(finished, micro, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    plan_recipe.plan(micro, finished)
    out = capsys.readouterr().out
    assert set(_planned(out).values()) == {"cached"}
    count = len(_digests(finished))
    assert f"all {count} stages are cached: nothing to run." in out


# --- killed -----------------------------------------------------------------------------------------------------

# `afterbase run`, killed at the first line of metrics, or the first finished stage, that matches.
KILLED_RUN = """
import os, signal, sys
from afterbase.core import store

name, step = sys.argv.pop(1), int(sys.argv.pop(1))

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def log(self, at, total, *shown, log=store.Workspace.log, **numbers):
    log(self, at, total, *shown, **numbers)
    if (self._line.name, at) == (name, step):
        die()

def produce(self, *arguments, produce=store.Store.produce, **settings):
    artifact = produce(self, *arguments, **settings)
    if (artifact.name, step) == (name, 0):
        die()
    return artifact

store.Workspace.log, store.Store.produce = log, produce
from afterbase.cli.main import main
main()
"""


def _killed(micro: Path, root: Path, name: str, step: int) -> None:
    command = [sys.executable, "-c", KILLED_RUN, name, str(step), "run", str(micro), "--root", str(root)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not any(path.is_file() for path in (root / "runs").rglob("*")), "there is no report of it"


def test_run_killed_within_sft_goes_on_to_the_same_bytes(finished, micro, tmp_path, capsys):
    before = list(_digests(finished)).index("SFT")
    for stage in _summary(finished)["stages"][:before]:  # made earlier, as they are slow to make
        shutil.copytree(finished / "store" / stage["key"], tmp_path / "root/store" / stage["key"])
    _killed(micro, tmp_path / "root", "SFT", 3)
    whole = [path.parent.name for path in (tmp_path / "root/store/.work").glob("*/scratch/step-*/.metadata")]
    assert whole, "the first checkpoint is whole before the second begins"
    assert set(whole) <= {"step-00000001", "step-00000002"}
    run_recipe.run(micro, tmp_path / "root")
    assert _digests(tmp_path / "root") == _digests(finished)
    assert [row["step"] for row in _artifact(tmp_path / "root", "SFT").metrics()] == [
        row["step"] for row in _artifact(finished, "SFT").metrics()
    ]
    assert "SFT set: cached" in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_of_torchrun_walk_through_the_recipe_together(finished, micro, tmp_path):
    """The same stages; those that all ranks train say so."""
    root = tmp_path / "root"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "afterbase"]
    done = subprocess.run([*command, "run", micro, "--root", root], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report: ") == 1
    assert list(_digests(root)) == list(_digests(finished))
    ranks = {s["name"]: _artifact(root, s["name"]).manifest["ranks"] for s in _summary(root)["stages"]}
    together = {name for name, count in ranks.items() if count == 2}
    assert together == {"code expert, SFT", "arithmetic expert, SFT", "SFT", "reward model", "DPO", "KTO"}


@pytest.mark.slow
def test_run_killed_again_and_again_goes_on_to_the_same_bytes(finished, micro, tmp_path):
    for name, step in [
        ("code drafts", 0),
        ("code expert, SFT", 1),
        ("code expert, GRPO", 1),
        ("SFT", 3),
        ("preference pairs", 1),
        ("reward model", 0),
        ("GRPO", 2),
        ("GRPO", 3),
        ("evaluate GRPO on chat", 1),
    ]:
        _killed(micro, tmp_path / "root", name, step)
    run_recipe.run(micro, tmp_path / "root")
    assert _digests(tmp_path / "root") == _digests(finished)
