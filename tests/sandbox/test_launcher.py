"""Commands started by a launcher: their descriptors, what they used, and that nothing of them is left."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from afterbase.sandbox import launcher_client as launchers
from afterbase.sandbox.launcher_client import Launcher, close_idle, pooled_launcher

ENVIRONMENT = {"PATH": os.defpath}


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    one = Launcher()
    yield one
    one.close()


def ended(launcher: Launcher, script: str, *arguments: str) -> tuple[str, launchers.Used]:
    reading, writing = os.pipe()
    nowhere = os.open(os.devnull, os.O_RDWR)
    launcher.start(
        [sys.executable, "-c", script, *arguments],
        ENVIRONMENT,
        {0: nowhere, 1: writing, 2: 2, 77: writing},
        cgroup=None,
    )
    os.close(writing)
    os.close(nowhere)
    with open(reading) as text:
        return text.read(), launcher.used()


def test_commands_get_their_descriptors_by_number_and_no_others(launcher: Launcher) -> None:
    said, _ = ended(launcher, "import os\nos.write(77, b'6')\nprint(sorted(map(int, os.listdir('/proc/self/fd'))))")
    assert said == "6[0, 1, 2, 3, 77]\n"  # 3 is the listing itself


def test_one_launcher_runs_one_command_after_the_other(launcher: Launcher) -> None:
    assert [ended(launcher, f"print({n})")[0] for n in range(3)] == ["0\n", "1\n", "2\n"]


def test_the_peak_is_the_command_s_own_and_not_that_of_who_asks(launcher: Launcher) -> None:
    """The kernel hands a peak on when a process starts a program; this one's must not count."""
    block = bytearray(200 << 20)
    _, small = ended(launcher, "pass")
    _, large = ended(launcher, "import os\nif os.fork() == 0: bytearray(300 << 20)\nelse: os.wait()")
    del block
    assert small.peak_bytes < 100 << 20
    assert 300 << 20 < large.peak_bytes < 400 << 20


def test_time_is_that_of_all_that_were_waited_for(launcher: Launcher) -> None:
    burn = "while time.process_time() < 0.2: pass"
    _, used = ended(launcher, f"import os, time\nif os.fork() == 0:\n    {burn}\nelse:\n    os.wait()\n    {burn}")
    assert 0.4 <= used.cpu_seconds < 2


def test_what_outlives_a_command_is_killed_in_whatever_session_it_is(launcher: Launcher) -> None:
    """The pipe ends only when the last that holds it does."""
    said, _ = ended(
        launcher, "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.fork()\n    time.sleep(1000)\nprint(6)"
    )
    assert said == "6\n"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_command_is_ended_on_request_and_late_words_do_no_harm(launcher: Launcher, at_once: bool) -> None:
    pid = launcher.start(["sleep", "1000"], ENVIRONMENT, {}, cgroup=None)
    while Path(f"/proc/{pid}/comm").read_text() != "sleep\n":
        pass
    launcher.end(at_once=at_once)
    launcher.end(at_once=True)
    launcher.used()
    assert ended(launcher, "print(6)")[0] == "6\n"


def test_a_missing_binary_is_told_by_name(launcher: Launcher) -> None:
    with pytest.raises(FileNotFoundError) as told:
        launcher.start(["no-such-command"], ENVIRONMENT, {}, cgroup=None)
    assert told.value.filename == "no-such-command"


def test_a_command_that_cannot_be_born_in_its_group_is_told(launcher: Launcher, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):  # no control group; no folder
        with pytest.raises(ChildProcessError):
            launcher.start(["true"], ENVIRONMENT, {}, cgroup=place)
    assert ended(launcher, "print(6)")[0] == "6\n"


def test_with_its_owner_a_command_is_gone() -> None:
    """The owner is killed without a word; the pipe that the command holds ends."""
    script = (
        "import os, sys\nfrom afterbase.sandbox.launcher_client import Launcher\n"
        "Launcher().start(['sleep', '1000'], {'PATH': os.defpath}, {1: 1}, cgroup=None)\n"
        "print('ready', flush=True)\nos.kill(os.getpid(), 9)"
    )
    source = str(Path(launchers.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, env={"PYTHONPATH": source})
    assert (done.returncode, done.stdout) == (-9, b"ready\n")


def test_a_launcher_ends_although_a_fork_of_its_owner_lives() -> None:
    """A fork has a copy of the link: the launcher must not wait until that is closed too."""
    one = Launcher()
    reading, writing = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    closing = threading.Thread(target=one.close, daemon=True)
    closing.start()
    closing.join(timeout=20)
    ended = not closing.is_alive()
    for end in (reading, writing):
        os.close(end)
    os.waitpid(fork, 0)
    assert ended


def use() -> None:
    with pooled_launcher() as one:
        one.start(["true"], ENVIRONMENT, {}, cgroup=None)


def test_a_dead_launcher_is_told_and_not_used_again() -> None:
    close_idle()
    with pooled_launcher() as dead:
        dead._process.kill()
        dead._process.wait()
    with pytest.raises(ChildProcessError):
        use()
    with pooled_launcher() as alive:
        assert ended(alive, "print(6)")[0] == "6\n"


def test_launchers_are_used_again() -> None:
    with pooled_launcher() as one, pooled_launcher() as other:
        assert one is not other
    with pooled_launcher() as again:
        assert again in (one, other)
    close_idle()
