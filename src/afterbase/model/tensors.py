"""The tensors of a model folder by their names on disk, whichever of the four usual shapes the folder has.

model.safetensors      model.safetensors.index.json and its shards
pytorch_model.bin      pytorch_model.bin.index.json and its shards, read without running what is pickled in them

Weights in fp8 are read as the numbers that they and their scales make (fp8.py).
"""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from afterbase.core.errors import UserError
from afterbase.model.folders import not_whole
from afterbase.model.fp8 import dequantise, is_fp8, is_scales, quantisation, scales_name

_WHOLE = ("model.safetensors", "pytorch_model.bin")


def tensor_names(folder: Path) -> list[str]:
    """Names of all tensors on disk but scales of others, sorted."""
    return sorted(name for file in _files(folder) for name in _names(file) if not is_scales(name))


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors on disk but scales of others, by name; of safetensors the heads of the files are read."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _files(folder):
        if file.suffix == ".safetensors":
            with _opened(file) as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        else:
            shapes |= {name: tuple(tensor.shape) for name, tensor in _pickled(file).items()}
    return {name: shape for name, shape in sorted(shapes.items()) if not is_scales(name)}


def read_tensors(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The tensors with a wanted name, on the CPU, as they are on disk, or in float32 where that is fp8.

    Of others no bytes are read from safetensors.
    """
    found = _read(folder, lambda name: wanted(name) and not is_scales(name))
    scales = {scales_name(name) for name, tensor in found.items() if is_fp8(tensor)}
    return dequantise(folder, found, _read(folder, scales.__contains__)) if scales else found


def quantised(folder: Path) -> bool:
    """Whether the config says so, or some weights have scales, without which they are other numbers."""
    told = quantisation(json.loads((folder / "config.json").read_text())) is not None
    return told or any(is_scales(name) for file in _files(folder) for name in _names(file))


def _read(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    out = {}
    for file in _files(folder):
        if file.suffix == ".safetensors":
            with _opened(file) as tensors:
                out |= {name: tensors.get_tensor(name) for name in tensors.keys() if wanted(name)}  # noqa: SIM118
        else:
            out |= {name: tensor.clone() for name, tensor in _pickled(file).items() if wanted(name)}
    return out


def _files(folder: Path) -> list[Path]:
    """The files that hold the weights; where safetensors are there, they are what transformers reads."""
    for whole in _WHOLE:
        index = folder / f"{whole}.index.json"
        if (folder / whole).is_file():
            return [folder / whole]
        if index.is_file():
            return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    raise UserError(
        "a model folder holds weights",
        got=f"{folder}, where there is none of {', '.join(_WHOLE)} and their indices",
        remedy="use a folder written by `save_pretrained`",
    )


def _names(file: Path) -> list[str]:
    if file.suffix == ".safetensors":
        with _opened(file) as tensors:
            return list(tensors.keys())
    return list(_pickled(file))


def _opened(file: Path) -> Any:
    """A file of safetensors. UserError for one that is not there or not whole."""
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise not_whole(file, error) from error


def _pickled(file: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise UserError(
            "weights in a pickle are tensors and nothing that would have to be run",
            got=f"{file}: {' '.join(str(error).split())[-300:]}",
            remedy="convert them to safetensors, with `save_pretrained`",
        ) from error
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}
