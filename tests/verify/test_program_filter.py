import pytest

from afterbase.verify.program_filter import _DENIED, program_filter
from bpf import ALLOW, ENOSYS, EPERM, I386, KILL, decide

CODE = program_filter()
OF_EVERY_RUN_TIME = {
    "read": 0, "write": 1, "open": 2, "mprotect": 10, "pipe": 22, "socketpair": 53, "clone": 56, "fork": 57,
    "vfork": 58, "execve": 59, "exit": 60, "wait4": 61, "kill": 62, "futex": 202, "openat": 257, "prlimit64": 302,
}  # fmt: skip


def test_only_the_listed_calls_are_refused() -> None:
    refused = {number for number in range(600) if decide(CODE, number) == EPERM}
    assert refused == set(_DENIED.values())
    assert not refused & set(OF_EVERY_RUN_TIME.values())


@pytest.mark.parametrize("number", [0, 41, 57, 101])
def test_foreign_architectures_are_killed_and_x32_is_refused(number: int) -> None:
    assert decide(CODE, number, architecture=I386) == KILL
    assert decide(CODE, number | 0x40000000) == EPERM


@pytest.mark.parametrize("flag", [0x80, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_a_clone_may_not_enter_a_new_namespace(flag: int) -> None:
    assert decide(CODE, 56, 0x11) == ALLOW  # SIGCHLD: a fork
    assert decide(CODE, 56, 0x3D0F00) == ALLOW  # a thread of the C library
    assert decide(CODE, 56, 0x11 | flag) == EPERM
    assert decide(CODE, 435, 0) == ENOSYS


@pytest.mark.parametrize(
    ("flags", "answer"),
    [(0x02, ALLOW), (0x22, ALLOW), (0x4022, ALLOW), (0x01, ALLOW), (0x21, EPERM), (0x23, EPERM), (0x4021, EPERM)],
    ids=["private file", "private", "reserved", "shared file", "shared", "shared validated", "shared reserved"],
)
def test_memory_that_no_process_holds_cannot_be_mapped(flags: int, answer: int) -> None:
    assert decide(CODE, 9, 0, 4096, 3, flags) == answer
