"""The same command again: told to be unchanged without what trains being imported, and made anew where it is not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import afterbase as ab
from afterbase.cli import start_run
from afterbase.core.artifacts.run_lock import run_lock
from afterbase.core.errors import UserError

RECIPE = """
kind = "sft"
name = "toy"
base = "tiny-v3"
threads = 1
data = { files = ["rows.jsonl"] }
[sft]
epochs = 1
row_tokens = 64
optimisation = { learning_rate = 1e-3 }
"""


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch) -> Iterator[None]:
    """A recipe and its rows in the working directory; torch's threads are given back."""
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    rows(8)
    Path("toy.toml").write_text(RECIPE)
    yield
    torch.set_num_threads(threads)


def rows(count: int) -> None:
    lines = [json.dumps({"prompt": f"{n}?", "completion": f"{n}!"}) + "\n" for n in range(count)]
    Path("rows.jsonl").write_text("".join(lines))


def call(*arguments: str) -> tuple[list[str], list[str]]:
    """Lines of standard output and error of `afterbase ARGUMENTS`, which must not import what trains."""
    code = (
        "import sys; from afterbase.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'torch', 'transformers', 'datasets', 'sqlalchemy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_a_second_run_names_each_stage_once_and_ends_as_the_first_one_did(capsys):
    start_run.run(Path("toy.toml"), Path())
    first = capsys.readouterr().out.splitlines()
    left = {
        path: path.stat().st_mtime_ns
        for path in Path("runs").rglob("*")
        if path.is_file() and path.name != "made_from.json"
    }
    out, err = call("run", "toy.toml")
    assert out[0] == "unchanged: all 3 stages, report and model are as the last run left them"
    assert out[1:] == first[-len(out[1:]) :]
    assert {"model: runs/toy/model", "report: runs/toy/report.html"} <= set(out)
    assert [line.partition(",")[0] for line in err] == ["base model: cached", "data: cached", "SFT: cached"]
    assert {path: path.stat().st_mtime_ns for path in left} == left
    planned, _ = call("plan", "toy.toml")
    assert "all 3 stages are cached: nothing to run." in planned
    shown, _ = call("show", "toy")
    assert shown


def test_other_rows_are_trained_on_and_the_report_is_made_anew(capsys):
    start_run.run(Path("toy.toml"), Path())
    page = Path("runs/toy/report.html").read_text()
    rows(12)
    capsys.readouterr()
    start_run.run(Path("toy.toml"), Path())
    told = capsys.readouterr()
    assert "unchanged" not in told.out
    assert [line.split(":")[0] for line in told.err.splitlines() if ": cached" in line] == ["base model", "data"]
    assert Path("runs/toy/report.html").read_text() != page
    start_run.run(Path("toy.toml"), Path())
    assert "unchanged" in capsys.readouterr().out


def test_a_report_that_was_deleted_is_written_again(capsys):
    start_run.run(Path("toy.toml"), Path())
    Path("runs/toy/report.html").unlink()
    capsys.readouterr()
    start_run.run(Path("toy.toml"), Path())
    told = capsys.readouterr()
    assert "unchanged" not in told.out
    assert told.err.count("cached") == 3
    assert Path("runs/toy/report.html").is_file()


def test_a_one_line_training_is_found_again_by_what_was_said(capsys):
    settings = {"epochs": 1, "threads": 1}
    trained = ab.sft("tiny-v3", "rows.jsonl", out="tuned", settings=settings)
    said = ("sft", "tiny-v3", "rows.jsonl", "--out", "tuned", "--set", "epochs=1", "--set", "threads=1", "--json")
    out, _ = call(*said)
    assert out[0].startswith("unchanged: all 3 stages")
    assert json.loads(out[-1]) == trained.summary()
    again = ab.sft("tiny-v3", "rows.jsonl", out="tuned", settings=settings)
    assert again.metrics == trained.metrics
    rows(12)
    capsys.readouterr()
    longer = ab.sft("tiny-v3", "rows.jsonl", out="tuned", settings=settings)
    assert "unchanged" not in capsys.readouterr().out
    assert longer.metrics != trained.metrics
    with pytest.raises(UserError, match="a folder holds the model of one training"):
        ab.sft("tiny-v3", "rows.jsonl", out="tuned", settings={**settings, "learning_rate": 1e-2})


def test_a_run_that_is_being_made_is_refused_before_anything_is_written():
    with run_lock(Path(), "toy"), pytest.raises(UserError, match="one process at a time makes a run"):
        start_run.run(Path("toy.toml"), Path())
    with run_lock(Path(), "tuned"), pytest.raises(UserError, match="one process at a time makes a run"):
        ab.sft("tiny-v3", "rows.jsonl", out="tuned", settings={"epochs": 1, "threads": 1})
    assert not Path("runs").exists()
    assert not Path("tuned").exists()


def test_a_finished_run_that_is_being_made_again_is_refused_too():
    start_run.run(Path("toy.toml"), Path())
    with run_lock(Path(), "toy"), pytest.raises(UserError, match="one process at a time makes a run"):
        start_run.run(Path("toy.toml"), Path())


def test_a_recipe_that_is_wrong_is_refused_before_what_trains_is_imported():
    Path("rows.jsonl").unlink()
    code = (
        "import sys; from afterbase.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, "run", "toy.toml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rows.jsonl" in done.stderr
    assert not Path("store").exists()


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    with pytest.raises(UserError, match="2 GiB of free disk") as caught:
        start_run.run(Path("toy.toml"), tmp_path / "root")
    assert caught.value.got == f"1.0 GiB free in {tmp_path / 'root'}"


def test_a_root_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "root").write_text("a file")
    with pytest.raises(UserError, match="below a folder of its own") as caught:
        start_run.run(Path("toy.toml"), tmp_path / "root")
    assert str(tmp_path / "root") in caught.value.got
