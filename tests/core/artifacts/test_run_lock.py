"""One process at a time makes a run; the kernel gives the lock back however its holder ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from afterbase.core.artifacts.run_lock import run_lock
from afterbase.core.errors import UserError

# Takes the lock, says its number, and holds the lock until a line comes or it is killed.
HOLDER = """
import sys
from pathlib import Path
from afterbase.core.artifacts.run_lock import run_lock

with run_lock(Path(sys.argv[1]), "toy"):
    print("holds", flush=True)
    sys.stdin.readline()
"""

# Takes the lock, forks a child that outlives it by a pipe that this test holds, and ends.
FORKER = """
import os, sys
from pathlib import Path
from afterbase.core.artifacts.run_lock import run_lock

with run_lock(Path(sys.argv[1]), "toy"):
    if os.fork() == 0:
        print("forked", flush=True)
        sys.stdin.readline()
        os._exit(0)
    os._exit(0)
"""


def start(root: Path, script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(root)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_second_process_is_refused_with_the_first_ones_number_and_other_names_are_free(tmp_path):
    with start(tmp_path, HOLDER) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        with pytest.raises(UserError, match="one process at a time makes a run") as caught, run_lock(tmp_path, "toy"):
            pass
        with run_lock(tmp_path, "another"):
            pass
        holder.send_signal(signal.SIGKILL)
    assert f"`toy`, which process {holder.pid} on " in caught.value.got
    assert "--out" in caught.value.remedy
    with run_lock(tmp_path, "toy"):
        pass


def test_threads_and_nested_calls_of_one_process_are_refused_too(tmp_path):
    with run_lock(tmp_path, "toy"), pytest.raises(UserError, match="one process") as caught, run_lock(tmp_path, "toy"):
        pass
    assert f"process {os.getpid()} on " in caught.value.got


def test_a_forked_process_does_not_keep_the_lock(tmp_path):
    with start(tmp_path, FORKER) as forker:
        assert forker.stdout is not None
        assert forker.stdout.readline() == "forked\n"
        forker.wait()
        with run_lock(tmp_path, "toy"):  # the fork still waits for its line
            pass
        assert forker.stdin is not None
        forker.stdin.close()
