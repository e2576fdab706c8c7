"""From the last hidden states to the logits: a linear layer, and what a family puts after it.

    logits = cap tanh(scale (W h + b) / cap)        without a cap: scale (W h + b)

Cohere and Granite scale, Phi has a bias, Gemma 2 caps. No list of families says so: the model itself is asked.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from afterbase.core.errors import UserError

_SMALL, _LARGE = 2.0**-20, 1e30  # where a capped function is its slope, and where it is its cap
_EXACT = 1e-9


@dataclass(frozen=True)
class Head:
    """The output layer's `weight` (vocabulary, hidden) and `bias` (vocabulary,), and what follows them."""

    weight: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        return self.after(F.linear(hidden, self.weight, self.bias))

    def after(self, z: Tensor) -> Tensor:
        """What follows the linear layer, of its outputs `z`."""
        if self.scale != 1.0:
            z = z * self.scale
        return z if self.cap is None else torch.tanh(z / self.cap) * self.cap

    def detach(self) -> "Head":
        """The same, but no gradient reaches the layer."""
        return Head(self.weight.detach(), None if self.bias is None else self.bias.detach(), self.scale, self.cap)


def trunk(model: PreTrainedModel) -> nn.Module:
    """The layers below the head, from token ids to the last hidden states."""
    if model.base_model is not model:
        return model.base_model
    return next(part for part in model.children() if isinstance(part, PreTrainedModel))  # Llama 4 names it otherwise


def output_layer(model: PreTrainedModel) -> nn.Linear:
    """The linear layer that gives a score for each token of the vocabulary; UserError where there is none."""
    layer = model.get_output_embeddings()
    if not isinstance(layer, nn.Linear):
        raise UserError(
            "a language model ends in one linear layer over its vocabulary",
            got=f"model_type `{model.config.model_type}`, which ends in {type(layer).__name__}",
            remedy="use a causal language model of another family",
        )
    return layer


@torch.no_grad()
def measure_head(model: PreTrainedModel) -> tuple[float, float | None]:
    """The `scale` and `cap` of a model, read from its own forward pass.

    The output layer's numbers are replaced by known ones, and the model says what it makes of them. Raises UserError
    where that is another function than this module's, or not the same for every token.
    """
    layer = output_layer(model)
    width = layer.weight.shape[0]
    device = layer.weight.device
    grid = torch.linspace(-50, 50, width, dtype=torch.float64, device=device)
    known = torch.stack((torch.full_like(grid, _SMALL), torch.full_like(grid, _LARGE), grid))

    def replace(_layer: object, _inputs: object, output: Tensor) -> Tensor:
        return known.expand(*output.shape[:-2], *known.shape)

    handle = layer.register_forward_hook(replace)
    try:
        logits = model(input_ids=torch.zeros(1, 3, dtype=torch.long, device=device), use_cache=False).logits
    finally:
        handle.remove()
    if logits.shape != (1, 3, width):
        raise _refusal(model, f"{width} outputs that become logits of shape {tuple(logits.shape)}")
    small, large, of_grid = logits[0].double()
    scale, top = float(small[0]) / _SMALL, float(large[0])
    cap = None if abs(top / (scale * _LARGE) - 1) < 1e-5 else top
    if abs(scale - 1) < _EXACT:
        scale = 1.0
    head = Head(layer.weight, layer.bias, scale, cap)
    if not torch.allclose(head.after(known), torch.stack((small, large, of_grid)), rtol=1e-5, atol=1e-12):
        raise _refusal(model, "logits that are another function of the output layer's numbers")
    return scale, cap


def _refusal(model: Any, found: str) -> UserError:
    return UserError(
        "after its output layer a model may scale and cap, by one rule for all tokens",
        got=f"model_type `{model.config.model_type}`: {found}",
        remedy="use a causal language model of another family",
    )
