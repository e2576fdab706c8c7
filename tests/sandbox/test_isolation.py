import pytest

from afterbase.core.errors import UserError
from afterbase.sandbox import isolation
from afterbase.sandbox.confinement import Bubblewrap, Landlock, Unconfined
from afterbase.sandbox.isolation import find_confinement, open_in
from confinements import KINDS


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch):
    """What this machine can do is found out anew, and forgotten."""
    find_confinement.cache_clear()
    yield monkeypatch
    find_confinement.cache_clear()


@pytest.mark.parametrize(
    ("found_open", "expected"),
    [
        ({"bubblewrap": None, "landlock": None}, Bubblewrap),
        ({"bubblewrap": "bwrap is missing", "landlock": None}, Landlock),
    ],
)
def test_the_strongest_walls_that_hold_are_taken(unknown, found_open, expected) -> None:
    unknown.setattr(isolation, "open_in", lambda kind: found_open[kind.name])
    assert isinstance(find_confinement(), expected)


def test_without_walls_nothing_is_run_unless_the_user_says_so(unknown) -> None:
    unknown.setattr(isolation, "open_in", lambda kind: "leaves open: network")
    with pytest.raises(UserError, match="bubblewrap: leaves open: network; landlock: leaves open: network"):
        find_confinement()
    assert isinstance(find_confinement(unsafe=True), Unconfined)


def test_open_doors_are_found() -> None:
    found = open_in(Unconfined()) or ""
    assert {"network,", "local_sockets,", "datagrams,", "shared_memory"} <= set(found.split())


def test_missing_tools_and_old_kernels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(isolation.kernel, "landlock_version", lambda: 4)
    monkeypatch.setattr(isolation.os, "defpath", "/nowhere")
    assert "version is 4" in (open_in(KINDS["landlock"]) or "")
    monkeypatch.setattr(isolation.sys, "platform", "darwin")
    assert "darwin" in (open_in(KINDS["bubblewrap"]) or "")
