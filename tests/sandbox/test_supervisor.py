"""The supervisor by itself, without walls: how commands end, and that nothing outlives them or it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from afterbase.sandbox import supervisor

SLEEPERS = "sleep 1000 & setsid sleep 1000 & echo ready"


def started(folder: Path, *command: str, **limits: list[int]) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the descriptor on which it tells."""
    request: dict[str, Any] = {
        "command": command,
        "environment": {"PATH": os.defpath},
        "folder": str(folder),
        "user": None,
        "limits": limits,
        "confinement": None,
    }
    told, telling = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-S", "-s", "-P", supervisor.__file__, json.dumps(request), str(telling)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[telling],
    )
    os.close(telling)
    return process, told


def told_by(process: subprocess.Popen[bytes], told: int) -> tuple[dict[str, int], bytes, bytes]:
    """What it told, and what the command printed. The pipes end when the last that holds them does."""
    out, error = process.communicate(timeout=120)
    with open(told, "rb") as lines:
        return {key: value for line in lines for key, value in json.loads(line).items()}, out, error


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -XCPU $$", 128 + signal.SIGXCPU)]
)
def test_the_end_of_a_command_is_told_as_shells_do(tmp_path: Path, script: str, code: int) -> None:
    words, _, _ = told_by(*started(tmp_path, "/bin/bash", "-c", script))
    assert words["exit-code"] == code


def test_a_command_that_cannot_be_run_has_no_end(tmp_path: Path) -> None:
    for process in (started(tmp_path, "/nowhere"), started(tmp_path / "nowhere", "/bin/true")):
        words, _, error = told_by(*process)
        assert words.keys() == {"child-pid"}
        assert b"No such file" in error


def test_limits_and_folder_are_those_of_the_request(tmp_path: Path) -> None:
    _, out, _ = told_by(*started(tmp_path, "/bin/bash", "-c", "pwd; ulimit -n", NOFILE=[33, 33]))
    assert out.decode().split() == [str(tmp_path), "33"]


def test_orphans_die_in_whatever_session_they_are(tmp_path: Path) -> None:
    words, out, _ = told_by(*started(tmp_path, "/bin/bash", "-c", SLEEPERS))
    assert (words["exit-code"], out) == (0, b"ready\n")


def test_a_signal_ends_the_command_and_all_below(tmp_path: Path) -> None:
    process, told = started(tmp_path, "/bin/bash", "-c", f"{SLEEPERS}; wait")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    words, _, _ = told_by(process, told)
    assert words["exit-code"] == 137


def test_a_signal_that_comes_as_soon_as_there_is_a_command_ends_it_too(tmp_path: Path) -> None:
    """It is held back until the supervisor can act on it; with its default action orphans would hold the pipes."""
    for _ in range(10):
        process, told = started(tmp_path, "/bin/bash", "-c", "setsid sleep 1000 & kill -TERM $PPID; wait")
        words, _, _ = told_by(process, told)
        assert words["exit-code"] == 137


def test_the_command_has_no_signal_blocked(tmp_path: Path) -> None:
    _, out, _ = told_by(*started(tmp_path, "/bin/grep", "SigBlk", "/proc/self/status"))
    assert int(out.split()[1], 16) == 0
