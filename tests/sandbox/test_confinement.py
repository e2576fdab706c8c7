import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.sandbox import confinement as module
from afterbase.sandbox.confinement import Bubblewrap, Landlock, Limits, Unconfined, WorkDir, reachable, resource_limits


def test_for_another_user_every_folder_above_must_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        Path, "stat", lambda path: os.stat_result([0o40700 if path.name == "closed" else 0o40755, *[0] * 9])
    )
    assert reachable(Path("/usr/bin"))
    assert not reachable(Path("/usr/closed"))
    assert not reachable(Path("/closed/usr/bin"))


@given(st.integers(1, 100), st.one_of(st.none(), st.integers(1, 2**40)))
def test_limits_are_hard_and_addresses_may_be_free(seconds: int, addresses: int | None) -> None:
    limits = resource_limits(Limits(cpu_seconds=seconds, address_bytes=addresses))
    assert all(soft <= hard for soft, hard in limits.values())
    assert limits["CPU"][0] > seconds  # who hits it has used more than the limit in any way of counting
    assert limits.get("AS") == (None if addresses is None else (addresses, addresses))


@pytest.mark.parametrize("kind", [Bubblewrap(), Landlock(), Unconfined()], ids=lambda kind: kind.name)
def test_the_longer_command_holds_the_shorter_one_and_no_secret(kind, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    work_dir = WorkDir(folder=tmp_path, user=None, prefixes=["/opt/python"])
    confined = kind.confined(["/bin/echo", kind.inside(work_dir)], work_dir, Limits(), building=False, status=9)
    for descriptor in confined.descriptors:
        os.close(descriptor)
    assert "/bin/echo" in str(confined.command)
    assert kind.inside(work_dir) in str(confined.command)
    assert "SECRET" not in {**confined.environment}
