import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.sandbox import seccomp as module
from afterbase.sandbox.seccomp import BECOMING_ANOTHER_USER, MODES_AND_TIMES, NEWER, program_filter
from bpf import ALLOW, ENOSYS, EPERM, I386, KILL, decide

BUBBLEWRAP, LANDLOCK = program_filter(own_files=True), program_filter(own_files=False)
EITHER = pytest.mark.parametrize("code", [BUBBLEWRAP, LANDLOCK], ids=["bubblewrap", "landlock"])
DONE_NOTHING, ENOTTY, EOPNOTSUPP = 0x00050000, 0x00050019, 0x0005005F
LISTED = {
    number
    for group in ("FILES", "MEMORY", "PROCESSES", "THREADS", "SIGNALS", "TIME", "SYSTEM", "PAIR_OF_STREAMS")
    for number in getattr(module, group).values()
}
LOOKED_AT = {9: "mmap", 16: "ioctl", 53: "socketpair", 56: "clone", 72: "fcntl", 144: "sched", 157: "prctl", 302: "rl"}
REACHES_OTHERS = {
    "shmget": 29, "shmat": 30, "shmctl": 31, "socket": 41, "connect": 42, "accept": 43, "sendmsg": 46, "recvmsg": 47,
    "bind": 49, "listen": 50, "setsockopt": 54, "semget": 64, "semop": 65, "semctl": 66, "msgget": 68, "msgsnd": 69,
    "fchown": 93, "lchown": 94, "chown": 92, "ptrace": 101, "syslog": 103, "setuid": 105, "setgid": 106,
    "setpgid": 109, "setsid": 112, "rt_sigqueueinfo": 129, "personality": 135, "setpriority": 141,
    "sched_setparam": 142, "mlock": 149, "mlockall": 151, "modify_ldt": 154,
    "pivot_root": 155, "chroot": 161, "sync": 162, "mount": 165, "umount2": 166, "init_module": 175, "quotactl": 179,
    "sched_setaffinity": 203, "io_setup": 206, "remap_file_pages": 216, "mbind": 237, "set_mempolicy": 238,
    "mq_open": 240, "mq_unlink": 241, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "ioprio_set": 251, "inotify_init": 253, "inotify_add_watch": 254, "migrate_pages": 256, "fchownat": 260,
    "unshare": 272, "get_robust_list": 274, "splice": 275, "tee": 276, "vmsplice": 278, "move_pages": 279,
    "accept4": 288, "inotify_init1": 294, "rt_tgsigqueueinfo": 297, "perf_event_open": 298, "recvmmsg": 299,
    "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "sendmmsg": 307, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "sched_setattr": 314,
    "seccomp": 317, "memfd_create": 319, "bpf": 321, "userfaultfd": 323, "pidfd_send_signal": 424,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "pidfd_getfd": 438, "process_madvise": 440,
}  # fmt: skip


@EITHER
def test_of_all_calls_those_listed_are_allowed_and_no_others(code: bytes) -> None:
    own = {*MODES_AND_TIMES.values(), *BECOMING_ANOTHER_USER.values()} if code is BUBBLEWRAP else set()
    allowed = {number for number in range(2000) if decide(code, number) == ALLOW}
    assert allowed - LOOKED_AT.keys() == LISTED | own
    assert not allowed & set(REACHES_OTHERS.values())


@EITHER
@pytest.mark.parametrize("name", REACHES_OTHERS)
def test_what_reaches_other_processes_files_or_machines_is_refused(code: bytes, name: str) -> None:
    assert decide(code, REACHES_OTHERS[name]) == EPERM


@pytest.mark.parametrize("number", MODES_AND_TIMES.values())
def test_modes_and_times_are_for_who_sees_only_files_of_their_own(number: int) -> None:
    """Landlock has no rule for them: behind it they would reach every file of the user."""
    assert (decide(BUBBLEWRAP, number), decide(LANDLOCK, number)) == (ALLOW, EPERM)


@EITHER
def test_what_can_be_done_without_is_answered_as_on_a_system_that_lacks_it(code: bytes) -> None:
    assert {decide(code, number) for number in (434, 435, 437, *range(NEWER, 600), 2**30 - 1)} == {ENOSYS}
    assert {decide(code, number) for number in range(188, 200)} == {EOPNOTSUPP}


@EITHER
@given(number=st.one_of(st.integers(0, 600), st.sampled_from([2**31, 2**32 - 1])))
def test_foreign_architectures_and_x32_are_killed(code: bytes, number: int) -> None:
    assert decide(code, number, architecture=I386) == KILL
    assert decide(code, number | 0x40000000) == KILL


@EITHER
@pytest.mark.parametrize("flag", [0x80, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
def test_a_clone_may_not_enter_a_new_namespace(code: bytes, flag: int) -> None:
    assert decide(code, 56, 0x11) == ALLOW  # SIGCHLD: a fork
    assert decide(code, 56, 0x3D0F00) == ALLOW  # a thread of the C library
    assert decide(code, 56, 0x11 | flag) == EPERM


@EITHER
@pytest.mark.parametrize(
    ("flags", "answer"),
    [(0x02, ALLOW), (0x22, ALLOW), (0x4022, ALLOW), (0x01, ALLOW), (0x21, EPERM), (0x23, EPERM), (0x4021, EPERM)],
    ids=["private file", "private", "reserved", "shared file", "shared", "shared validated", "shared reserved"],
)
def test_memory_that_no_process_holds_cannot_be_mapped(code: bytes, flags: int, answer: int) -> None:
    assert decide(code, 9, 0, 4096, 3, flags) == answer


@EITHER
@given(pid=st.integers(1, 2**32 - 1))
def test_limits_are_a_process_s_own(code: bytes, pid: int) -> None:
    assert decide(code, 302, 0, 7) == ALLOW
    assert decide(code, 302, pid, 7) == EPERM
    assert decide(code, 302, pid << 32, 7) == ALLOW  # the kernel looks at the lower half alone, too


@EITHER
@given(family=st.integers(0, 50), kind=st.integers(0, 2**32 - 1))
def test_of_sockets_there_are_pairs_of_local_streams_alone(code: bytes, family: int, kind: int) -> None:
    assert decide(code, 53, 1, 1) == decide(code, 53, 1, 0o2004001) == ALLOW
    stream = kind & ~0o2004000 == 1
    assert decide(code, 53, family, kind) == (ALLOW if family == 1 and stream else EPERM)


@EITHER
def test_of_a_descriptor_neither_the_owner_nor_the_length_can_be_set(code: bytes) -> None:
    assert {decide(code, 72, 1, command) for command in (8, 10, 15, 1024, 1026, 1031, 1033)} == {EPERM}
    assert {decide(code, 72, 1, command) for command in (0, 2, 3, 4, 6, 7, 1030, 1032)} == {ALLOW}


@EITHER
def test_devices_are_asked_harmless_questions_alone(code: bytes) -> None:
    set_flags, push_back, owner, clone_file = 0x40086602, 0x5412, 0x8902, 0x40049409
    assert {decide(code, 16, 1, request) for request in (set_flags, push_back, owner, clone_file)} == {ENOTTY}
    assert decide(code, 16, 1, 0x5401) == ALLOW


@EITHER
def test_of_a_process_neither_tracer_nor_filter_nor_orphans_can_be_set(code: bytes) -> None:
    dumpable, filters, maps, orphans, cores, tracer = 4, 22, 35, 36, 62, 0x59616D61
    assert {decide(code, 157, o) for o in (dumpable, filters, maps, orphans, cores, tracer)} == {EPERM}
    assert decide(code, 157, 15) == ALLOW


@EITHER
def test_a_scheduler_that_stays_what_it_is_is_granted_and_left_alone(code: bytes) -> None:
    assert decide(code, 144, 7, 0) == DONE_NOTHING
    assert {decide(code, 144, 7, policy) for policy in (1, 2, 3, 5, 6)} == {EPERM}


def test_both_filters_are_as_short_as_the_kernel_wants() -> None:
    for code in (BUBBLEWRAP, LANDLOCK):
        assert len(code) // ctypes.sizeof(ctypes.c_uint64) < 4096
