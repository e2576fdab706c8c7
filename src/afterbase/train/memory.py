"""Memory that a step frees and the next step asks for again, kept by malloc instead of given back to the system.

glibc gives large blocks back as they are freed, and each page that comes anew is a fault and a page of zeros: 2 to 3 of
27 seconds of a GRPO step of a 135M model on a virtual machine with two cores. See `mallopt(3)`.
"""

import contextlib
import ctypes
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of malloc.h
_DEFAULTS = {_TRIM_THRESHOLD: 128 << 10, _MMAP_MAX: 65536}
_KEEP = {_TRIM_THRESHOLD: -1, _MMAP_MAX: 0}  # never trim, map no block apart


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Within it this process gives no freed memory back, at its end all; without glibc's malloc nothing changes.

    What was made within it should be freed within it too, or it goes back only in part: so it decorates a function.
    Of tensors on the CPU: those of CUDA have an allocator of torch's own, which keeps memory too.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        yield
        return
    try:
        for option, value in _KEEP.items():
            libc.mallopt(option, value)
        yield
    finally:
        for option, value in _DEFAULTS.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
