"""Exact arithmetic: transformers does norms, routers and softmax in float32 in any model; here in float64."""

import torch
from transformers.models.deepseek_v3 import modeling_deepseek_v3


class Float64Torch:
    """`torch` whose float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str):
        return getattr(torch, name)


def compute_in_float64() -> None:
    """In this process, from now on."""
    modeling_deepseek_v3.torch = Float64Torch()  # type: ignore[attr-defined]
