"""Digests of files and folders: what keys of artifacts hold of the world outside the store."""

import hashlib
from pathlib import Path


def folder_digest(folder: Path) -> str:
    """sha256 over the relative paths and contents of all files below a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        total.update(f"{path.relative_to(folder).as_posix()}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()
