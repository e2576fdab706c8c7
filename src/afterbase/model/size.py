"""How many parameters a model folder holds, read from the heads of its files: no weight is loaded."""

import json
import math
import struct
from pathlib import Path

_BYTES = 2  # of a weight, where only the size of a file is known: most are saved in 16 bits


def parameter_count(folder: Path) -> int:
    """Numbers in all tensors on disk, a shared one as often as it is saved.

    For pickled weights, which have no head to read, about so many.

    >>> from afterbase.model.folders import find
    >>> parameter_count(find("tiny-v3")) > 4_000_000
    True
    """
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return sum(_numbers(file) for file in files)
    return sum(file.stat().st_size for file in folder.glob("*.bin")) // _BYTES


def _numbers(file: Path) -> int:
    """By the format of safetensors: eight bytes of length, then JSON with the shape of each tensor."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        head = json.loads(opened.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__")
