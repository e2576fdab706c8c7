"""How many parameters a model folder holds, read from the heads of its files: no weight is loaded."""

import json
import math
import struct
from pathlib import Path

from afterbase.model.folders import not_whole

_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")  # their number, as families call it
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
        return sum(size for file in files for size in _tensors(file).values())
    return sum(file.stat().st_size for file in folder.glob("*.bin")) // _BYTES


def active_parameter_count(folder: Path) -> int:
    """Parameters that a token goes through: of the experts that tokens are routed to, those of one token."""
    config = json.loads((folder / "config.json").read_text())
    config = {**config, **config.get("text_config", {})}
    experts = next((config[name] for name in _EXPERTS if config.get(name)), 1)
    sizes = [item for file in folder.glob("*.safetensors") for item in _tensors(file).items()]
    routed = sum(size for name, size in sizes if ".experts." in name)
    return parameter_count(folder) - routed + routed * min(experts, config.get("num_experts_per_tok") or 1) // experts


def _tensors(file: Path) -> dict[str, int]:
    """Numbers in each tensor, by the format of safetensors: eight bytes of length, then JSON with their shapes.

    UserError for a file that does not begin so.
    """
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            head = json.loads(opened.read(min(length, file.stat().st_size)))
        return {name: math.prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__"}
    except (struct.error, ValueError) as error:
        raise not_whole(file, error) from error
