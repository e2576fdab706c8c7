"""Low-rank additions to a model's linear layers (arXiv 2106.09685), by `peft`; an extra: `pip install afterbase[lora]`.

They go beside the linear layers of attention, and of the feed-forward blocks in a model without experts. Embeddings,
heads, routers and the multi-token prediction module stay as they are.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError, refuse_missing_extra
from afterbase.model.load import LanguageModel
from afterbase.train.config import Lora

_ATTENTION = re.compile(r"\.(\w*attn|\w*attention)\.")


def add_lora(lm: LanguageModel, config: Lora, *, seed: int) -> None:
    """Freeze the model and add trainable matrices to it, in place; B begins at zero, so that nothing changes yet."""
    refuse_missing_extra("lora", "`lora` trains through the package peft", otherwise="leave `lora` out")
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(seed)
    settings = LoraConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=_targets(lm.model, config), lora_dropout=0.0
    )
    lm.modules().requires_grad_(False)
    try:
        inject_adapter_in_model(settings, lm.model)
    except ValueError as error:
        raise UserError(
            "low-rank additions go beside layers that peft can add to",
            got=f"model_type `{lm.model.config.model_type}`: {' '.join(str(error).split())}",
            remedy="leave `lora` out of the recipe",
        ) from error


def _targets(model: PreTrainedModel, config: Lora) -> list[str]:
    """Names of the layers that get additions; UserError where there are none."""
    head = model.get_output_embeddings()
    linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head]
    # In a model with experts peft takes the name of any feed-forward layer for that of all experts.
    attention_alone = config.targets == "attention" or _has_experts(model)
    targets = [name for name in linear if _ATTENTION.search(name)] if attention_alone else linear
    if not targets:
        raise UserError(
            "low-rank additions go beside linear layers",
            got=f"model_type `{model.config.model_type}`, which has none where they could go",
            remedy="leave `lora` out of the recipe",
        )
    return targets


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


@contextmanager
def without_additions(model: nn.Module) -> Iterator[None]:
    """Inside the block the model computes as it did before training; one without additions as ever."""
    layers: list[Any] = [module for module in model.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def save_adapter(lm: LanguageModel, folder: Path, state: Mapping[str, Tensor], config: Lora | None) -> None:
    """`adapter/` below a folder: the additions of a whole `state` as peft writes them, for the model before training.

    It names no base model: whoever hands it on knows that one's place. Nothing without additions, nor from other ranks
    than the first. Of a reward model its head of scores is part of it, as a module that is saved whole.
    """
    if config is None or ranks.rank() != 0:
        return
    from peft import LoraConfig

    tensors = {
        f"base_model.model.{name.removeprefix('trunk.').replace('.default.', '.')}": tensor.contiguous()
        for name, tensor in state.items()
        if ".lora_" in name
    }
    scores = {"base_model.model.score.weight": state["head.weight"]} if "head.weight" in state else {}
    layers = [name.removesuffix(".lora_A") for name, _ in lm.model.named_modules() if name.endswith(".lora_A")]
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=layers,
        lora_dropout=0.0,
        inference_mode=True,
        task_type="SEQ_CLS" if scores else "CAUSAL_LM",
        modules_to_save=["score"] if scores else None,
    )
    out = folder / "adapter"
    out.mkdir()
    save_file({**tensors, **scores}, out / "adapter_model.safetensors", metadata={"format": "pt"})
    text = json.dumps(settings.to_dict(), indent=2, sort_keys=True, default=sorted)  # sets have an order of their own
    (out / "adapter_config.json").write_text(text + "\n")
