"""A small interpreter of classic BPF: what a seccomp filter would answer to a system call."""

import struct

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
X86_64, I386 = 0xC000003E, 0x40000003


def decide(code: bytes, number: int, *arguments: int, architecture: int = X86_64) -> int:
    """The value that the filter gives for this call."""
    filled = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *filled)
    steps = list(struct.iter_unpack("HBBI", code))
    at, loaded = 0, 0
    while True:
        operation, if_true, if_false, value = steps[at]
        at += 1
        if operation == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif operation == 0x15:
            at += if_true if loaded == value else if_false
        elif operation == 0x35:
            at += if_true if loaded >= value else if_false
        elif operation == 0x45:
            at += if_true if loaded & value else if_false
        else:
            assert operation == 0x06
            return value
