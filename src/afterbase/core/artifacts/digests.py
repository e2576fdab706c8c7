"""Digests of files and folders, and marks by which a file tells that it has not been written since.

The marks are inode, size and both times of change, in nanoseconds, as Git's index and build tools have them. A file
that was changed in the last two seconds has none yet: a second change within one tick of the file system's clock would
not be seen. Then, and where any mark is another one, the file is read.

Does not cover: a machine whose clock is set back, and file systems that keep no time of change (ctime).
"""

import hashlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_SETTLED = 2.0  # seconds: the coarsest times that file systems keep

Fingerprints = dict[str, list[Any]]
"""[sha256, marks or None] of each file, by its absolute path: what JSON can hold."""
_read: dict[Path, list[Any]] = {}


def folder_digest(folder: Path, *, skipped: str = "") -> str:
    """sha256 over the relative paths and contents of all files below a folder, but for folders named `skipped`."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if not skipped or skipped not in path.relative_to(folder).parts:
            total.update(f"{path.relative_to(folder).as_posix()}\0{_file_digest(path)}\n".encode())
    return total.hexdigest()


def fingerprints(files: Iterable[Path], known: Mapping[str, list[Any]] | None = None) -> Fingerprints:
    """What files hold now. One whose marks are those of its `known` fingerprint is not read again. Raises OSError."""
    names = sorted({str(path.absolute()) for path in files})
    return {name: _fingerprint(Path(name), (known or {}).get(name)) for name in names}


def same_content(one: Mapping[str, list[Any]], other: Mapping[str, list[Any]]) -> bool:
    """Whether the same files hold the same, whatever their marks."""
    mine, theirs = ({name: digest for name, (digest, _) in files.items()} for files in (one, other))
    return mine == theirs


def _fingerprint(path: Path, known: list[Any] | None) -> list[Any]:
    began, before = time.time(), _marks(path)
    if known is not None and known[1] is not None and known[1] == before:
        return known
    digest = _read_digest(path)
    settled = max(before[2:]) / 1e9 < began - _SETTLED and _marks(path) == before
    return [digest, before if settled else None]


def _marks(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _file_digest(path: Path) -> str:
    """Read once in a process, while the marks stay: a program asks again and again for the base model's."""
    path = path.absolute()
    digest, marks = _fingerprint(path, _read.get(path))
    if marks is not None:
        _read[path] = [digest, marks]
    return digest


def _read_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
