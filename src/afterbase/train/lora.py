"""Low-rank additions to a model's linear layers (arXiv 2106.09685), by `peft`; an extra: `pip install afterbase[lora]`.

They go beside the linear layers of attention, and of the feed-forward blocks in a model without experts. Embeddings,
heads, routers and the multi-token prediction module stay as they are.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from afterbase.core.config import Config
from afterbase.core.errors import UserError
from afterbase.model.balance import routers
from afterbase.model.load import LanguageModel


class Lora(Config):
    """The additions B A x alpha / rank."""

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)


def add_lora(lm: LanguageModel, config: Lora, *, seed: int) -> None:
    """Freeze the model and add trainable matrices to it, in place; B begins at zero, so that nothing changes yet."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            "`lora` trains through the package peft",
            got=str(error),
            remedy="pip install 'afterbase[lora]', or leave `lora` out of the recipe",
        ) from error
    torch.manual_seed(seed)
    head = lm.model.get_output_embeddings()
    linear = [name for name, m in lm.model.named_modules() if isinstance(m, nn.Linear) and m is not head]
    # In a model with experts peft takes the name of any feed-forward layer for that of all experts.
    targets = [name for name in linear if ".self_attn." in name] if routers(lm.model) else linear
    settings = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets, lora_dropout=0.0)
    lm.modules().requires_grad_(False)
    inject_adapter_in_model(settings, lm.model)


def merged(state: Mapping[str, Tensor], config: Lora | None) -> Mapping[str, Tensor]:
    """A model's whole state with the additions put into the weights; a model without additions as it is."""
    if config is None:
        return state
    out = {}
    for name, tensor in state.items():
        if name.endswith(".base_layer.weight"):
            layer = name.removesuffix("base_layer.weight")
            a, b = (state[f"{layer}lora_{matrix}.default.weight"] for matrix in "AB")
            out[f"{layer}weight"] = tensor + config.alpha / config.rank * (b @ a)
        elif ".lora_" not in name:
            out[name.replace(".base_layer.", ".")] = tensor
    return out
