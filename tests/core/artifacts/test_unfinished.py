"""An unfinished stage counts the time in which it was worked on, in whichever process."""

import json
import os
from pathlib import Path

import pytest

from afterbase.core.store import Store, Workspace

BEGAN = 1_000_000.0  # seconds since the epoch


def try_for(root: Path, seconds: float | None, *, began: float = BEGAN) -> None:
    """A try that begins at `began`, writes a checkpoint `seconds` later, or none, and is killed."""

    def make(work: Workspace) -> None:
        if seconds is not None:
            (work.scratch / "checkpoint").write_text("state")
            os.utime(work.scratch / "checkpoint", (began + seconds, began + seconds))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(root).produce("toy", "toy", 1, what={}, inputs={}, make=make)
    [note] = root.glob(".work/*/seconds.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "began": began}))


def finish(root: Path) -> float:
    made = Store(root).produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: None)
    assert {path.name for path in made.folder.iterdir()} <= {"manifest.json", "metrics.jsonl", "payload"}
    return made.manifest["seconds"]


def test_seconds_count_the_work_of_all_processes_and_not_the_time_between_them(tmp_path):
    try_for(tmp_path, 100_000.0)
    try_for(tmp_path, 30_000.0, began=BEGAN + 500_000)
    assert 130_000 <= finish(tmp_path) < 131_000


def test_a_process_that_wrote_nothing_adds_nothing(tmp_path):
    try_for(tmp_path, 100_000.0)
    try_for(tmp_path, None, began=BEGAN + 500_000)
    assert 100_000 <= finish(tmp_path) < 101_000


def test_metrics_are_a_sign_of_work_as_checkpoints_are(tmp_path):
    try_for(tmp_path, 100_000.0)
    [work] = (path for path in (tmp_path / ".work").iterdir() if path.is_dir())
    (work / "metrics.jsonl").write_text('{"step": 1}\n')
    os.utime(work / "metrics.jsonl", (BEGAN + 170_000, BEGAN + 170_000))
    assert 170_000 <= finish(tmp_path) < 171_000


def test_without_a_checkpoint_all_begins_anew_and_so_does_the_count(tmp_path):
    try_for(tmp_path, 100_000.0)
    [checkpoint] = tmp_path.glob(".work/*/scratch/checkpoint")
    checkpoint.unlink()
    assert finish(tmp_path) < 1000


def test_a_work_folder_of_a_version_that_did_not_count_is_resumed(tmp_path):
    try_for(tmp_path, 100_000.0)
    [note] = tmp_path.glob(".work/*/seconds.json")
    note.unlink()
    assert finish(tmp_path) < 1000
