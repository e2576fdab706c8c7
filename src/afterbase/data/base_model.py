"""The base model enters the store: a copy of its folder, so that lineage ends in bytes that cannot change."""

import shutil
from pathlib import Path

from afterbase.core.store import Artifact, Store, Workspace, folder_digest

VERSION = 1


def import_base(store: Store, folder: Path) -> Artifact:
    """The base model as an artifact, keyed by its content.

    >>> from afterbase.model.folders import find
    >>> base = import_base(store, find("tiny-v3"))
    >>> base.name
    'base model'
    """

    def make(work: Workspace) -> None:
        shutil.copytree(folder, work.payload, dirs_exist_ok=True)

    what = {"folder": folder_digest(folder)}
    return store.produce("base model", "base", VERSION, what=what, inputs={}, make=make)
