"""What the tests of the model share."""

import pytest
import torch
from transformers.models.deepseek_v3 import modeling_deepseek_v3


class _Float64Torch:
    """`torch` whose float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str):
        return getattr(torch, name)


@pytest.fixture
def exact_lm(toy_lm, monkeypatch):
    """The toy model in float64 throughout; transformers does norms, routers and softmax in float32 in any model."""
    monkeypatch.setattr(modeling_deepseek_v3, "torch", _Float64Torch())
    toy_lm.modules().double()
    return toy_lm
