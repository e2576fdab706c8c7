"""A run is told to be unchanged where nothing has changed, and never where anything has."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import afterbase
from afterbase.cli.recipes import last_run as module
from afterbase.cli.recipes.last_run import Handed, LastRun, MadeFrom, cached_stages, last_run, note_run
from afterbase.cli.run_recipe import run_loaded
from afterbase.model.folders import SHIPPED
from afterbase.recipe import SftRecipe, load_recipe

RECIPE = """
kind = "sft"
name = "toy"
base = "base"
threads = 1
chat_template = "template.jinja"
data = { files = ["rows*.jsonl"] }
[sft]
epochs = 1
row_tokens = 64
optimisation = { learning_rate = 1e-3 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run in `root`, whose base and rows lie beside it."""
    place, before, threads = tmp_path_factory.mktemp("toy"), os.getcwd(), torch.get_num_threads()
    shutil.copytree(SHIPPED["tiny-v3"], place / "base")
    shutil.copy(place / "base/chat_template.jinja", place / "template.jinja")
    (place / "rows.jsonl").write_text("".join(f'{{"prompt": "{n}?", "completion": "{n}!"}}\n' for n in range(8)))
    (place / "recipe.toml").write_text(RECIPE)
    os.chdir(place)
    try:
        run_loaded(recipe(), Path("root"), handed())
        yield place
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)


def recipe() -> SftRecipe:
    loaded = load_recipe(Path("recipe.toml"))
    assert isinstance(loaded, SftRecipe)
    return loaded


def handed(**changes) -> Handed:
    return Handed(**{"text": Path("recipe.toml").read_text(), "model": Path("root/runs/toy/model"), **changes})


def found() -> LastRun | None:
    return last_run(recipe(), Path("root"), handed())


@contextmanager
def without(path: Path) -> Iterator[None]:
    path.rename(path.with_name("away"))
    try:
        yield
    finally:
        path.with_name("away").rename(path)


@contextmanager
def edited(path: Path, old: str = "", new: str = " ") -> Iterator[None]:
    """One text in place of another; a space behind all where none is given. The times are set to those of before."""
    before, times = path.read_bytes(), path.stat()
    path.write_bytes(before.replace(old.encode(), new.encode()) if old else before + new.encode())
    assert path.read_bytes() != before
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        yield
    finally:
        path.write_bytes(before)


@contextmanager
def added(path: Path, like: Path) -> Iterator[None]:
    shutil.copy(like, path)
    try:
        yield
    finally:
        path.unlink()


def artifact(stage: str) -> Path:
    stages = json.loads(Path("root/runs/toy/run.json").read_text())["stages"]
    return Path("root/store") / next(one["key"] for one in stages if one["stage"] == stage)


RUN = Path("root/runs/toy")


def test_nothing_has_changed(folder):
    last = found()
    assert last is not None
    stages = json.loads((RUN / "run.json").read_text())["stages"]
    assert [(r.name, r.artifact.key, r.cached) for r in last.stages] == [(s["name"], s["key"], True) for s in stages]
    assert [[made_from.name for made_from in r.inputs] for r in last.stages] == [s["inputs"] for s in stages]
    assert last.final.key == last.stages[-1].artifact.key
    assert last.summary == json.loads((RUN / "run.json").read_text())


CHANGES = {
    "base edited": lambda: edited(Path("base/config.json")),
    "weights edited": lambda: edited(Path("base/model.safetensors")),
    "file beside the weights": lambda: added(Path("base/more.json"), Path("base/config.json")),
    "template edited": lambda: edited(Path("template.jinja")),
    "rows edited": lambda: edited(Path("rows.jsonl"), "3!", "4!"),
    "rows added to the pattern": lambda: added(Path("rows-2.jsonl"), Path("rows.jsonl")),
    "rows gone": lambda: without(Path("rows.jsonl")),
    "setting changed": lambda: edited(Path("recipe.toml"), "1e-3", "2e-3"),
    "comment in the recipe, which the report shows": lambda: edited(Path("recipe.toml"), "[sft]", "# here\n[sft]"),
    "artifact deleted": lambda: without(artifact("sft")),
    "earlier artifact deleted": lambda: without(artifact("own_samples")),
    "artifact of another digest": lambda: edited(artifact("sft") / "manifest.json", '"digest": "', '"digest": "0'),
    "payload deleted": lambda: without(artifact("sft") / "payload"),
    "report deleted": lambda: without(RUN / "report.html"),
    "report edited": lambda: edited(RUN / "report.html"),
    "summary deleted": lambda: without(RUN / "run.json"),
    "summary edited": lambda: edited(RUN / "run.json"),
    "model deleted": lambda: without(RUN / "model"),
    "model edited": lambda: edited(RUN / "model/config.json"),
    "card edited": lambda: edited(RUN / "model/README.md"),
    "file of the model deleted": lambda: without(RUN / "model/generation_config.json"),
    "file put to the model": lambda: added(RUN / "model/notes.txt", Path("rows.jsonl")),
    "note deleted": lambda: without(RUN / "made_from.json"),
    "note cut off": lambda: edited(RUN / "made_from.json", "}\n", "\n"),
    "note of another version": lambda: edited(RUN / "made_from.json", '"format": 1', '"format": 0'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_seen_and_its_end_as_well(change):
    with change():
        assert found() is None
    assert found() is not None


@pytest.mark.parametrize("other", [{"model": Path("elsewhere")}, {"adapter": True}, {"text": RECIPE + "\n"}])
def test_another_place_or_form_of_the_result_is_another_run(other):
    assert last_run(recipe(), Path("root"), handed(**other)) is None


def test_the_same_recipe_from_another_folder_is_another_run(tmp_path, folder, monkeypatch):
    given = recipe()
    monkeypatch.chdir(tmp_path)
    for name in ("base", "rows.jsonl", "template.jinja"):
        (tmp_path / name).symlink_to(folder / name)
    assert last_run(given, folder / "root", Handed(RECIPE, folder / RUN / "model")) is None


def test_afterbase_itself_has_changed_where_any_file_of_it_has(tmp_path, monkeypatch):
    package = tmp_path / "afterbase"
    shutil.copytree(Path(afterbase.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "_PACKAGE", package)
    assert found() is not None, "the same files elsewhere"
    for path, old, new in (
        (package / "train/sft.py", "\nVERSION = ", "\nVERSION = 1"),
        (package / "report/report.css", "", " "),
    ):
        with edited(path, old, new):
            assert found() is None
    assert found() is not None


def test_a_package_that_was_upgraded_or_installed_is_a_change(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert found() is not None
    (tmp_path / "rich-99.0.dist-info").mkdir()
    assert found() is None


def test_a_plan_asks_for_the_stages_alone():
    with without(RUN / "report.html"), edited(RUN / "model/README.md"):
        stages = cached_stages(recipe(), Path("root"))
        assert stages is not None
        assert {stage.cached for stage in stages} == {True}
    with without(artifact("sft")):
        assert cached_stages(recipe(), Path("root")) is None


def test_a_run_whose_rows_changed_while_it_ran_is_not_noted():
    given, note = recipe(), (RUN / "made_from.json").read_bytes()
    began = MadeFrom.now(given)
    last = found()
    assert last is not None
    with edited(Path("rows.jsonl"), "3!", "4!"):
        note_run(began, given, Path("root"), handed(), last.stages, last.final)
        assert not (RUN / "made_from.json").exists()
    (RUN / "made_from.json").write_bytes(note)
    assert found() is not None


def test_what_was_young_is_not_read_a_third_time(monkeypatch):
    later = time.time() + 1000
    monkeypatch.setattr("time.time", lambda: later)
    assert found() is not None
    left = json.loads((RUN / "made_from.json").read_text())["left"]
    assert all(marks is not None for _, marks in left.values())
