"""Claims of processes on one machine, as locks on single bytes of a file: they end with the process, killed or not."""

import errno
import fcntl
import os
import struct
from pathlib import Path

# Locks of an open file, not of a process: two caches in one process exclude each other, and closing one frees only its
# own (Linux; fcntl(2), "Open file description locks").
_LOCK = "hhqqi4x"  # type, whence, start, length, pid


class FileClaims:
    """Numbers that are claimed, each a byte of an empty file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def claim(self, number: int) -> bool:
        """Whether nobody else holds the number; it is held from here on."""
        try:
            self._set(fcntl.F_WRLCK, number)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def release(self, number: int) -> None:
        self._set(fcntl.F_UNLCK, number)

    def close(self) -> None:
        """Release all."""
        os.close(self._file)

    def _set(self, kind: int, number: int) -> None:
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, struct.pack(_LOCK, kind, os.SEEK_SET, number, 1, 0))
