"""The seccomp filter of programs that are processes: what no answer needs, and what gets round the other walls.

A deny-list, since eight languages' run-times call for too much to be listed. What it refuses answers EPERM: sockets,
tracing, new namespaces and mounts, leaving the process group (it is killed as one), memory that no limit counts
(anonymous files, System V, shared anonymous maps), io_uring, keys, modules. `clone3` answers ENOSYS, so that the C
library falls back on `clone`, whose flags a filter can see.

Does not cover: machines other than x86-64. Numbers: arch/x86/entry/syscalls/syscall_64.tbl of Linux.
"""

from afterbase.verify import walls

_DENIED = {
    "shmget": 29, "socket": 41, "semget": 64, "msgget": 68, "ptrace": 101, "syslog": 103, "setpgid": 109,
    "setsid": 112, "personality": 135, "vhangup": 153, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
    "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "clock_settime": 227, "mq_open": 240, "kexec_load": 246, "add_key": 248, "request_key": 249,
    "keyctl": 250, "unshare": 272, "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
    "kcmp": 312, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "mount_setattr": 442,
    "memfd_secret": 447,
}  # fmt: skip
_MMAP, _MAP_SHARED, _MAP_ANONYMOUS = 9, 0x01, 0x20
_CLONE, _NEW_NAMESPACES = 56, 0x7E020080
_CLONE3, _NO_SUCH_CALL = 435, (walls.GIVE, 0, 0, 0x00050026)
_X32 = 0x40000000


def program_filter() -> bytes:
    """The deny-list as a classic BPF program over struct seccomp_data."""
    code = [*walls.ONLY_X86_64, (walls.AT_LEAST, 0, 1, _X32), walls.REFUSE]
    for number in _DENIED.values():
        code += [(walls.EQUAL, 0, 1, number), walls.REFUSE]
    code += [(walls.EQUAL, 0, 1, _CLONE3), _NO_SUCH_CALL]
    code += [(walls.EQUAL, 0, 4, _CLONE), walls.argument(0), (walls.ANY_BIT, 0, 1, _NEW_NAMESPACES)]
    code += [walls.REFUSE, walls.ALLOW]
    code += [(walls.EQUAL, 0, 4, _MMAP), walls.argument(3), (walls.ANY_BIT, 0, 2, _MAP_ANONYMOUS)]
    code += [(walls.ANY_BIT, 0, 1, _MAP_SHARED), walls.REFUSE]
    return walls.assembled([*code, walls.ALLOW])
