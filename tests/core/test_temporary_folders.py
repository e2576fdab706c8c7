import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from afterbase.core import temporary_folders as scratch
from afterbase.core.temporary_folders import PREFIX, clear, scratch_folder, sweep

MAKES_ONE_AND_WAITS = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from afterbase.core.temporary_folders import scratch_folder
with scratch_folder() as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def other_process(place: Path) -> tuple[subprocess.Popen[bytes], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKES_ONE_AND_WAITS, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(scratch.__file__).parents[2])},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def test_a_folder_is_gone_at_the_end(place: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == place
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_uses_is_not(place: Path) -> None:
    dead, left = other_process(place)
    alive, used = other_process(place)
    with dead, alive, scratch_folder() as ours:
        dead.kill()
        dead.wait()
        assert left.exists()
        sweep()
        assert not left.exists()
        assert (used / "file").exists()
        assert ours.exists()
        alive.communicate()
    assert list(place.iterdir()) == []


def test_neither_links_nor_other_folders_are_swept(place: Path) -> None:
    kept = place / "kept"
    (kept / "folder").mkdir(parents=True)
    (place / f"{PREFIX}link").symlink_to(kept)
    (place / "afterbase-else").mkdir()
    before = sorted(place.rglob("*"))
    sweep()
    assert sorted(place.rglob("*")) == before


def test_folders_of_other_users_are_swept_only_if_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place / f"{PREFIX}theirs"
    folder.mkdir()
    owner = folder.stat().st_uid
    monkeypatch.setattr(scratch.os, "geteuid", lambda: owner + 1)
    sweep(range(owner + 1, owner + 2))
    assert folder.exists()
    sweep(range(owner, owner + 1))
    assert not folder.exists()


def test_any_folder_is_cleared(tmp_path: Path) -> None:
    """Too deep for recursion, closed, and with a link out that is not followed."""
    (tmp_path / "kept").touch()
    folder = tmp_path / "folder"
    deed = "import os\nos.mkdir('folder'); os.chdir('folder')\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
    deed += "os.symlink('/tmp', 'l'); os.chmod('.', 0)"
    subprocess.run([sys.executable, "-c", deed], cwd=tmp_path, check=True)
    assert clear(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_cannot_be_removed_is_told_and_ends_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The toy of a file that stays: neither way of removing does anything."""
    with scratch_folder() as folder, monkeypatch.context() as toys:
        (folder / "file").touch()
        toys.setattr(scratch.shutil, "rmtree", lambda folder: (_ for _ in ()).throw(PermissionError))
        toys.setattr(scratch.subprocess, "run", lambda *_, **__: None)
        assert not clear(folder)
        assert "cannot be removed" in caplog.text
    assert list(place.iterdir()) == []
