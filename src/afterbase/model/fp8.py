"""Weights in fp8 with a scale a block, as DeepSeek-V3 is released: w = q * scale, a block of 128 x 128 at a time.

Each quantised weight NAME has its scales beside it, NAME_scale_inv (rows of blocks, columns of blocks); blocks at the
lower and right edge may be cut off. transformers derives the size of a block from the table of scales, which is wrong
for the cut ones (`kv_a_proj_with_mqa` has 576 rows), hence this.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from afterbase.core.errors import UserError

_TYPES = {torch.float8_e4m3fn, torch.float8_e5m2}
_SCALES = "_scale_inv"


def scales_name(name: str) -> str:
    """Under which name the scales of a weight are stored."""
    return f"{name}{_SCALES}"


def is_scales(name: str) -> bool:
    """Whether this is the name of a weight's scales."""
    return name.endswith(_SCALES)


def is_fp8(tensor: Tensor) -> bool:
    """Whether a tensor is one of eight-bit floating-point numbers."""
    return tensor.dtype in _TYPES


def quantisation(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a model's config.json says of how its weights are quantised; None where they are not."""
    return config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")


def block_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Rows and columns of a block that shares a scale; None where weights are not quantised in this way."""
    asked = quantisation(config) or {}
    size = asked.get("weight_block_size")
    known = asked.get("quant_method") == "fp8" and asked.get("expert_dtype", "fp8") == "fp8"
    if not (known and isinstance(size, list) and asked.get("activation_scheme", "dynamic") == "dynamic"):
        return None
    return (size[0], size[1]) if len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size) else None


def dequantise(folder: Path, weights: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a folder, those in fp8 in float32; UserError unless each of these has the scales of its blocks."""
    block = block_size(json.loads((folder / "config.json").read_text()))
    return {
        name: _whole(name, tensor, scales.get(scales_name(name)), block) if is_fp8(tensor) else tensor
        for name, tensor in weights.items()
    }


def _whole(name: str, weight: Tensor, scales: Tensor | None, block: tuple[int, int] | None) -> Tensor:
    if block is None:
        raise _refusal(name, "no `quantization_config` with `quant_method` fp8 and a `weight_block_size`")
    if scales is None or weight.dim() < 2:
        raise _refusal(name, "no scales" if scales is None else f"of shape {tuple(weight.shape)}")
    rows, columns = weight.shape[-2:]
    expected = (*weight.shape[:-2], -(-rows // block[0]), -(-columns // block[1]))
    if scales.shape != expected or not scales.is_floating_point():
        raise _refusal(name, f"scales of {scales.dtype} {tuple(scales.shape)} for {tuple(weight.shape)}")
    of_rows = scales.float().repeat_interleave(block[0], -2)[..., :rows, :]
    return weight.float() * of_rows.repeat_interleave(block[1], -1)[..., :columns]


def _refusal(name: str, found: str) -> UserError:
    return UserError(
        f"weights in fp8 come with a floating-point scale for each block, as `NAME{_SCALES}`",
        got=f"`{name}`: {found}",
        remedy="use the folder as it was released, or one in bfloat16",
    )
