"""What a process puts between itself and the machine before it runs a program: no privileges, Landlock, seccomp.

Nothing but the standard library is imported here, so that a small interpreter can load it.

Does not cover: machines other than Linux on x86-64.

Structures and constants: linux/landlock.h, linux/seccomp.h, linux/filter.h, capget(2).
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Sequence

READ_FILES = 1 << 2 | 1 << 3  # LANDLOCK_ACCESS_FS_READ_FILE and READ_DIR
EXECUTE_FILES = 1 << 0
ALL_OF_A_FILE = 1 << 1 | 1 << 2 | 1 << 14  # write, read, truncate
ALL_OF_A_FOLDER = (1 << 15) - 1

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT, _CAPSET = 444, 445, 446, 126
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2

Step = tuple[int, int, int, int]
"""One instruction of a classic BPF program: operation, jump if true, jump if false, value."""
LOAD, EQUAL, ANY_BIT, AT_LEAST, GIVE = 0x20, 0x15, 0x45, 0x35, 0x06
ALLOW: Step = (GIVE, 0, 0, 0x7FFF0000)
KILL: Step = (GIVE, 0, 0, 0x80000000)
ONLY_X86_64: Sequence[Step] = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, 0xC000003E), KILL, (LOAD, 0, 0, 0)]
"""Kill what comes from another architecture; leaves the number of the system call loaded."""


def refused(error: int) -> Step:
    """Answer the call with an error number."""
    return GIVE, 0, 0, 0x00050000 | error


REFUSE = refused(1)  # EPERM


def argument(index: int) -> Step:
    """Load the lower half of an argument."""
    return LOAD, 0, 0, 16 + 8 * index


def assembled(code: Iterable[Step]) -> bytes:
    """The program as the kernel wants it."""
    return b"".join(struct.pack("HBBI", *step) for step in code)


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def _syscall(name: str, *arguments: object) -> int:
    return _checked(name, _LIBC.syscall(*arguments))


def process_control(name: str, option: int, value: int) -> None:
    """prctl(2) with one number."""
    _checked(name, _LIBC.prctl(option, value, 0, 0, 0))


def drop_privileges() -> None:
    """No capabilities, and none to come from a setuid file."""
    process_control("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)
    _syscall("capset", _CAPSET, struct.pack("Ii", 0x20080522, 0), bytes(24))


def landlock_version() -> int:
    """0 where the kernel has none; 6 also keeps signals and abstract sockets inside."""
    return max(0, _LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))


def landlock(rules: Iterable[tuple[str, int]]) -> None:
    """Of the file system only what the rules (path, rights) name; no TCP; no signal and no abstract socket to outside.

    An old kernel knows fewer of these; OSError if it knows none.
    """
    abi = _syscall("landlock", _LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    files = (1 << (13 if abi == 1 else 14 if abi == 2 else 15 if abi < 5 else 16)) - 1
    attributes = struct.pack("QQQ", files, 0b11, 0b11)  # files, TCP bind and connect, scopes (signals, sockets)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _syscall("landlock", _LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0)
    for path, rights in rules:
        below = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights & files, below)
        _syscall("landlock rule", _LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
        os.close(below)
    _syscall("landlock", _LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def load_filter(code: bytes) -> None:
    """Put a seccomp filter on this process and all that come from it."""
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("H6xQ", len(code) // 8, ctypes.addressof(buffer))
    _checked("seccomp", _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0))
