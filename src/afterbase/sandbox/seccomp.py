"""The seccomp filter of programs that are processes: the system calls that the run-times of eight languages need.

Whatever is not listed is refused. A call that names a process is listed only if it names the caller's own, or if
no signal can get out; of sockets there is only the pair of streams that Python's asyncio and Node's child processes
make, over which no descriptor can be sent. Among the refused are tracing, new namespaces and mounts, leaving
the process group (it is killed as one), scheduling, limits of other processes, owners and attributes of files, memory
that no limit counts (anonymous files, System V, shared anonymous maps, long pipes), io_uring and keys.

What run-times ask for and can do without is answered as a system answers that lacks it: ENOSYS for calls newer than
this list and for `clone3`, whose flags a filter cannot see; ENOTTY for unknown requests to a device; EOPNOTSUPP for
attributes of files. Everything else is EPERM; another architecture's calls and x32's kill.

Does not cover: machines other than x86-64. Numbers: arch/x86/entry/syscalls/syscall_64.tbl of Linux. Learnt from the
profiles of Docker (moby, profiles/seccomp) and of bubblewrap's users.
"""

from collections.abc import Iterable, Sequence

from afterbase.sandbox import kernel
from afterbase.sandbox.kernel import Step

FILES = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23, "dup": 32,
    "dup2": 33, "sendfile": 40, "flock": 73, "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77,
    "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85,
    "link": 86, "unlink": 87, "symlink": 88, "readlink": 89, "umask": 95, "mknod": 133, "statfs": 137, "fstatfs": 138,
    "epoll_create": 213, "getdents64": 217, "fadvise64": 221, "epoll_wait": 232, "epoll_ctl": 233, "openat": 257,
    "mkdirat": 258, "mknodat": 259, "newfstatat": 262, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "symlinkat": 266, "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271, "epoll_pwait": 281,
    "eventfd": 284, "fallocate": 285, "eventfd2": 290, "epoll_create1": 291, "dup3": 292, "pipe2": 293, "preadv": 295,
    "pwritev": 296, "renameat2": 316, "copy_file_range": 326, "preadv2": 327, "pwritev2": 328, "statx": 332,
    "close_range": 436, "faccessat2": 439, "epoll_pwait2": 441,
}  # fmt: skip
"""A node that is made can only be a pipe: no program has the privilege for a device."""
MEMORY = {
    "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28,
    "membarrier": 324, "pkey_mprotect": 329, "pkey_alloc": 330, "pkey_free": 331,
}  # fmt: skip
PROCESSES = {
    "getpid": 39, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61, "kill": 62, "getrlimit": 97,
    "getrusage": 98, "times": 100, "getppid": 110, "getpgrp": 111, "getpgid": 121, "getsid": 124, "getpriority": 140,
    "setrlimit": 160, "gettid": 186, "tkill": 200, "exit_group": 231, "tgkill": 234, "waitid": 247, "execveat": 322,
}  # fmt: skip
"""`kill` and its kin stay inside by Landlock or the namespace; the others that take a number only read."""
THREADS = {
    "sched_yield": 24, "sched_getparam": 143, "sched_getscheduler": 145, "sched_get_priority_max": 146,
    "sched_get_priority_min": 147, "arch_prctl": 158, "futex": 202, "sched_getaffinity": 204, "set_tid_address": 218,
    "set_robust_list": 273, "getcpu": 309, "rseq": 334,
}  # fmt: skip
SIGNALS = {
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pause": 34, "rt_sigpending": 127,
    "rt_sigtimedwait": 128, "rt_sigsuspend": 130, "sigaltstack": 131, "restart_syscall": 219, "signalfd": 282,
    "signalfd4": 289,
}  # fmt: skip
TIME = {
    "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "gettimeofday": 96, "time": 201,
    "timer_create": 222, "timer_settime": 223, "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "timerfd_create": 283, "timerfd_settime": 286,
    "timerfd_gettime": 287,
}  # fmt: skip
SYSTEM = {
    "uname": 63, "sysinfo": 99, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getgroups": 115,
    "getresuid": 118, "getresgid": 120, "capget": 125, "getrandom": 318,
}  # fmt: skip
BECOMING_ANOTHER_USER = {"setgroups": 116, "setresuid": 117, "setresgid": 119, "capset": 126}
"""What `setpriv` does behind bubblewrap's filter; whoever it has become may do none of it again."""
PAIR_OF_STREAMS = {"sendto": 44, "recvfrom": 45, "shutdown": 48, "getsockname": 51, "getpeername": 52, "getsockopt": 55}
MODES_AND_TIMES = {
    "chmod": 90, "fchmod": 91, "utime": 132, "utimes": 235, "futimesat": 261, "fchmodat": 268, "utimensat": 280,
}  # fmt: skip
"""Landlock knows no rule for these, so they are for programs that see no file but their own to write."""
ATTRIBUTES = range(188, 200)
"""setxattr to fremovexattr."""
NEWER = 442
"""The first number that this list does not know."""

_CLONE, _NEW_NAMESPACES = 56, 0x7E020080
_NO_SUCH_CALLS = (434, 435, 437)  # pidfd_open, clone3, openat2
_MMAP, _MAP_SHARED, _MAP_ANONYMOUS = 9, 0x01, 0x20
_SOCKETPAIR, _AF_UNIX, _SOCK_STREAM = 53, 1, (1, 0o2000001, 0o4001, 0o2004001)  # with CLOEXEC, NONBLOCK, both
_PRLIMIT, _IOCTL, _FCNTL, _PRCTL = 302, 16, 72, 157
# TCGETS, TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_DEVICE_REQUESTS = (0x5401, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# Copies, flags, locks, the length of a pipe; not the owner of a descriptor, to whom the kernel sends signals.
_DESCRIPTOR_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
# Death of the parent, dumpable (GET), keeping capabilities, name, capabilities, secure bits (GET), no privileges, huge
# pages, ambient set, name of a map.
_PROCESS_OPTIONS = (1, 2, 3, 7, 8, 15, 16, 23, 24, 27, 38, 39, 41, 42, 47, 0x53564D41)
_SCHED_SETSCHEDULER, _SCHED_OTHER = 144, 0
_X32 = 0x40000000
_NOT_A_TERMINAL, _NO_SUCH_CALL, _NOT_SUPPORTED = (kernel.refused(code) for code in (25, 38, 95))


def program_filter(*, own_files: bool) -> bytes:
    """The allow-list as a classic BPF program over struct seccomp_data.

    `own_files`: bubblewrap's mounts leave no file outside to change; there `setpriv` has still to do its work, too.
    """
    listed = [FILES, MEMORY, PROCESSES, THREADS, SIGNALS, TIME, SYSTEM, PAIR_OF_STREAMS]
    listed += [MODES_AND_TIMES, BECOMING_ANOTHER_USER] if own_files else []
    code = [*kernel.ONLY_X86_64, (kernel.AT_LEAST, 0, 1, _X32), kernel.KILL]
    for number in (number for group in listed for number in group.values()):
        code += [(kernel.EQUAL, 0, 1, number), kernel.ALLOW]
    code += _if(_CLONE, [kernel.argument(0), (kernel.ANY_BIT, 0, 1, _NEW_NAMESPACES), kernel.REFUSE, kernel.ALLOW])
    shared = [(kernel.ANY_BIT, 0, 2, _MAP_ANONYMOUS), (kernel.ANY_BIT, 0, 1, _MAP_SHARED), kernel.REFUSE]
    code += _if(_MMAP, [kernel.argument(3), *shared, kernel.ALLOW])
    streams = _one_of(1, _SOCK_STREAM, kernel.REFUSE)
    code += _if(_SOCKETPAIR, [kernel.argument(0), (kernel.EQUAL, 1, 0, _AF_UNIX), kernel.REFUSE, *streams])
    code += _if(_PRLIMIT, _one_of(0, [0], kernel.REFUSE))  # of no process but the caller
    code += _if(_IOCTL, _one_of(1, _DEVICE_REQUESTS, _NOT_A_TERMINAL))
    code += _if(_FCNTL, _one_of(1, _DESCRIPTOR_COMMANDS, kernel.REFUSE))
    code += _if(_PRCTL, _one_of(0, _PROCESS_OPTIONS, kernel.REFUSE))
    # Mono asks for what its threads have, and complains on stdout if it does not get it.
    as_it_is = [kernel.argument(1), (kernel.EQUAL, 0, 1, _SCHED_OTHER), kernel.refused(0), kernel.REFUSE]
    code += _if(_SCHED_SETSCHEDULER, as_it_is)
    for number in _NO_SUCH_CALLS:
        code += _if(number, [_NO_SUCH_CALL])
    code += [(kernel.AT_LEAST, 0, 1, NEWER), _NO_SUCH_CALL]
    code += [(kernel.AT_LEAST, 2, 0, ATTRIBUTES.stop), (kernel.AT_LEAST, 0, 1, ATTRIBUTES.start), _NOT_SUPPORTED]
    return kernel.assembled([*code, kernel.REFUSE])


def _if(number: int, then: Sequence[Step]) -> list[Step]:
    """What is answered to one call; `then` ends with an answer."""
    return [(kernel.EQUAL, 0, len(then), number), *then]


def _one_of(index: int, values: Iterable[int], otherwise: Step) -> list[Step]:
    """Allow the call if an argument is one of these values."""
    listed = [step for value in values for step in ((kernel.EQUAL, 0, 1, value), kernel.ALLOW)]
    return [kernel.argument(index), *listed, otherwise]
