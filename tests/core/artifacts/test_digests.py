"""Digests tell what is in files and folders, and nothing else."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.artifacts import digests
from afterbase.core.artifacts.digests import fingerprints, folder_digest, same_content

NAMES = st.sampled_from(["a", "b", "a.txt", "sub/a", "sub/b", "sub/deeper/a"])
TREES = st.dictionaries(NAMES, st.binary(max_size=5), max_size=4)


def _plant(folder: Path, tree: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@given(TREES, TREES)
def test_folder_digests_are_equal_exactly_where_names_and_contents_are(tmp_path_factory, one, other):
    folder = tmp_path_factory.mktemp("trees")
    digests = [folder_digest(_plant(folder / name, tree)) for name, tree in (("one", one), ("other", other))]
    assert (digests[0] == digests[1]) == (one == other)


@pytest.fixture
def later(monkeypatch) -> None:
    """Ten seconds have passed since any file was written."""
    now = time.time() + 10
    monkeypatch.setattr(digests.time, "time", lambda: now)


def test_a_file_is_not_read_again_while_its_marks_stay(tmp_path, later, monkeypatch):
    path = tmp_path / "file"
    path.write_text("one")
    first = fingerprints([path])
    assert first[str(path)][1] is not None
    monkeypatch.setattr(digests, "_read_digest", lambda path: pytest.fail("it was read"))
    assert fingerprints([path], first) == first


def test_a_file_that_was_just_written_has_no_marks_and_is_read_again(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    first = fingerprints([path])
    assert first[str(path)][1] is None
    path.write_text("two")
    assert not same_content(fingerprints([path], first), first)


@pytest.mark.parametrize("change", ["content", "replaced", "time set back"])
def test_any_other_mark_makes_it_be_read(tmp_path, later, change):
    path = tmp_path / "file"
    path.write_text("one")
    first = fingerprints([path])
    before = path.stat()
    if change == "replaced":
        (tmp_path / "new").write_text("two")
        (tmp_path / "new").replace(path)
    else:
        path.write_text("two")
    if change == "time set back":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not same_content(fingerprints([path], first), first)


def test_a_file_that_says_the_same_under_other_marks_is_the_same(tmp_path):
    path = tmp_path / "file"
    path.write_text("one")
    first = fingerprints([path])
    path.unlink()
    path.write_text("one")
    assert same_content(fingerprints([path], first), first)


def test_files_that_came_or_went_are_another_content(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    both, one = fingerprints(tmp_path.iterdir()), fingerprints([tmp_path / "a"])
    assert not same_content(both, one)
    assert not same_content(one, both)


def test_a_folder_is_digested_without_the_folders_that_are_skipped(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/file").write_text("same")
    before = folder_digest(tmp_path / "one", skipped="__pycache__")
    (tmp_path / "one/__pycache__").mkdir()
    (tmp_path / "one/__pycache__/file.pyc").write_text("other")
    assert folder_digest(tmp_path / "one", skipped="__pycache__") == before
    assert folder_digest(tmp_path / "one") != before


def test_a_folder_that_is_changed_between_two_looks_of_one_process_has_another_digest(tmp_path, later):
    (tmp_path / "file").write_text("one")
    before = folder_digest(tmp_path)
    (tmp_path / "file").write_text("two")
    assert folder_digest(tmp_path) != before
