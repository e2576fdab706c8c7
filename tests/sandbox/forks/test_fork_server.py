"""The filter is checked by a small interpreter of classic BPF; what it does to programs, in test_fork_client.py."""

import os
import signal
import socket

import pytest

from afterbase.sandbox.forks.fork_server import _ALLOWED, END, _wait, seccomp_filter
from bpf import ALLOW, EPERM, I386, KILL
from bpf import decide as decided_by


def decide(number: int, *arguments: int, **machine: int) -> int:
    return decided_by(seccomp_filter(), number, *arguments, **machine)


def test_of_all_system_calls_only_the_listed_pass() -> None:
    assert {number for number in range(600) if decide(number) == ALLOW} == {*_ALLOWED.values(), 257}


@pytest.mark.parametrize("number", [41, 56, 57, 58, 59, 62, 101, 157, 200, 234, 302, 317, 321, 322, 424, 425, 435])
def test_the_dangerous_ones_are_refused(number: int) -> None:
    assert decide(number) == EPERM


@pytest.mark.parametrize("number", sorted(_ALLOWED.values()))
def test_foreign_architectures_are_killed_and_x32_is_refused(number: int) -> None:
    assert decide(number, architecture=I386) == KILL
    assert decide(number | 0x40000000) == EPERM


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (os.O_RDONLY | os.O_CLOEXEC, ALLOW),
        (os.O_RDONLY | os.O_DIRECTORY, ALLOW),
        (os.O_WRONLY, EPERM),
        (os.O_RDWR, EPERM),
        (os.O_RDONLY | os.O_CREAT, EPERM),
        (os.O_RDONLY | os.O_TRUNC, EPERM),
        (os.O_TMPFILE | os.O_RDWR, EPERM),
    ],
)
def test_files_are_opened_for_reading_only(flags: int, answer: int) -> None:
    assert decide(257, 0, 0, flags) == answer


def test_descriptor_commands_are_listed() -> None:
    set_owner, set_owner_by_ioctl = 8, 0x8901
    assert (decide(72, 3, 1), decide(72, 3, set_owner)) == (ALLOW, EPERM)
    assert (decide(16, 1, 0x5401), decide(16, 1, set_owner_by_ioctl)) == (ALLOW, EPERM)


@pytest.mark.parametrize("alive", [True, False])
def test_only_a_fork_that_lived_when_its_asker_ended_it_was_killed_by_it(alive: bool) -> None:
    """Else whoever looked first, asker or server, would decide whether the machine or the answer is to blame."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        fork = os.fork()
        if fork == 0:
            signal.pause()
        if not alive:
            os.kill(fork, signal.SIGKILL)
            os.waitid(os.P_PID, fork, os.WEXITED | os.WNOWAIT)
        here.send(END)
        assert _wait(fork, there) is alive
    _, status = os.waitpid(fork, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
