"""Files that others cannot read, made or found; and the token that a server makes for itself."""

import os
import sqlite3

import pytest

from afterbase.core.private_files import keep_private, keep_sqlite_private, kept_token, make_private, make_token


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = os.umask(0)
    yield tmp_path
    os.umask(before)


def mode(path) -> int:
    return path.stat().st_mode & 0o777


def test_a_file_is_private_whether_new_or_open_to_all(home):
    new, old = home / "folder/new", home / "old"
    old.write_text("kept")
    old.chmod(0o644)
    for path in (new, old):
        make_private(path)
        assert mode(path) == 0o600
    assert old.read_text() == "kept"
    keep_private(home / "nothing")  # no file, no error


def test_what_sqlite_puts_beside_a_file_is_private_too(home):
    path = home / "a.sqlite"
    for end in ("", "-wal", "-shm", ".claims"):
        path.with_name(path.name + end).touch(mode=0o666)
    keep_sqlite_private(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (x)")
    assert {file.name: mode(file) for file in home.glob("a.sqlite*")} == {
        "a.sqlite": 0o600, "a.sqlite-wal": 0o600, "a.sqlite-shm": 0o600, "a.sqlite.claims": 0o600,
    }  # fmt: skip
    database.close()


def test_a_made_token_is_found_by_the_same_user_and_by_nobody_else():
    assert kept_token("rollouts-1") is None
    token, path = make_token("rollouts-1")
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert kept_token("rollouts-1") == token
    assert kept_token("rollouts-2") is None
    again, _ = make_token("rollouts-1")
    assert again != token
    assert len(again) > 30


def test_a_token_that_others_could_read_or_put_there_is_none(home):
    _, path = make_token("rollouts-1")
    path.chmod(0o644)
    assert kept_token("rollouts-1") is None
    (home / "elsewhere").write_text("theirs")
    (home / "elsewhere").chmod(0o600)
    path.unlink()
    path.symlink_to(home / "elsewhere")
    assert kept_token("rollouts-1") is None
    make_token("rollouts-1")
    assert (home / "elsewhere").read_text() == "theirs"
