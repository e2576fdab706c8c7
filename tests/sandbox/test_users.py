"""Users that runs belong to; the locks are those of the kernel, in a folder of the test."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.sandbox import users
from afterbase.sandbox.users import USERS, run_user

HOLDS_ALL = """
import sys
from contextlib import ExitStack
from pathlib import Path
from afterbase.sandbox import users
users.LOCKS, users.os.geteuid = Path(sys.argv[1]), lambda: 0
stack = ExitStack()
taken = [stack.enter_context(users.run_user()) for _ in range(int(sys.argv[2]))]
print(*taken, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(users.os, "geteuid", lambda: 0)
    monkeypatch.setattr(users, "LOCKS", tmp_path / "locks")
    return tmp_path / "locks"


def test_runs_at_the_same_time_belong_to_different_users() -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(run_user()) for _ in range(100)]
    assert len(set(taken)) == 100
    assert set(taken) <= set(USERS)


def test_two_programs_on_a_machine_share_no_user_and_a_killed_one_leaves_its_own(root: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS_ALL, str(root), "400"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(users.__file__).parents[2])},
    )
    with other, ExitStack() as stack:
        assert other.stdout is not None
        theirs = set(map(int, other.stdout.readline().split()))
        ours = {stack.enter_context(run_user()) for _ in range(len(USERS) - 400)}
        assert ours | theirs == set(USERS)
        assert not ours & theirs
        with pytest.raises(UserError, match="no user is left"):
            stack.enter_context(run_user())
        other.kill()
        other.wait()
        assert stack.enter_context(run_user()) in theirs


def test_who_is_not_root_stays_who_they_are(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(users.os, "geteuid", lambda: 1000)
    with run_user() as user:
        assert user is None
    assert not root.exists()


def test_a_machine_without_room_for_locks_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(users, "LOCKS", tmp_path / "file" / "locks")
    with pytest.raises(UserError, match="users of their own"), run_user():
        pass
