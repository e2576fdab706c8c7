"""Low-rank additions to a model's linear layers (arXiv 2106.09685), by `peft`; an extra: `pip install afterbase[lora]`.

They go beside the linear layers of attention, and of the feed-forward blocks in a model without experts. Embeddings,
heads, routers and the multi-token prediction module stay as they are.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from afterbase.core.errors import UserError
from afterbase.model.load import LanguageModel
from afterbase.train.config import Lora

_ATTENTION = re.compile(r"\.(\w*attn|\w*attention)\.")


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
    targets = [name for name in linear if _ATTENTION.search(name)] if _has_experts(lm.model) else linear
    if not targets:
        raise UserError(
            "low-rank additions go beside linear layers",
            got=f"model_type `{lm.model.config.model_type}`, which has none where they could go",
            remedy="leave `lora` out of the recipe",
        )
    settings = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets, lora_dropout=0.0)
    lm.modules().requires_grad_(False)
    try:
        inject_adapter_in_model(settings, lm.model)
    except ValueError as error:
        raise UserError(
            "low-rank additions go beside layers that peft can add to",
            got=f"model_type `{lm.model.config.model_type}`: {' '.join(str(error).split())}",
            remedy="leave `lora` out of the recipe",
        ) from error


def _has_experts(model: nn.Module) -> bool:
    """Whether layers hold the weights of several experts, whatever the family calls them."""
    return any("expert" in name or parameter.dim() == 3 for name, parameter in model.named_parameters())


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
