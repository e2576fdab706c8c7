"""A language model on disk is a plain Hugging Face folder; here it is built, loaded and saved, MTP weights included."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, DeepseekV3Config, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from afterbase.core.errors import UserError
from afterbase.model import attention, experts
from afterbase.model.attention import Segments
from afterbase.model.mtp import MtpModule

SHIPPED = {"tiny-v3": Path(__file__).parent / "tiny-v3"}
_WEIGHTS = "model.safetensors"


@dataclass
class LanguageModel:
    """A causal LM, its tokenizer, and its multi-token prediction module if it has one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    mtp: MtpModule | None

    def hidden(self, input_ids: Tensor, segments: Segments) -> Tensor:
        """Final hidden states (tokens, hidden) of one packed row of tokens (tokens,)."""
        output = self.model.model(
            input_ids=input_ids[None],
            position_ids=segments.position_ids[None],
            segments=segments,
            use_cache=False,
        )
        return output.last_hidden_state[0]

    def mtp_hidden(self, input_ids: Tensor, hidden: Tensor, segments: Segments) -> Tensor:
        """Hidden states (tokens, hidden) whose logits predict the token after next."""
        assert self.mtp is not None
        trunk = self.model.model
        last = segments.position_ids.roll(-1) == 0
        next_embeddings = trunk.embed_tokens(input_ids.roll(-1)).masked_fill(last[:, None], 0.0)[None]
        rotary = trunk.rotary_emb(next_embeddings, segments.position_ids[None])
        return self.mtp(hidden[None], next_embeddings, rotary, segments)[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., hidden) to (..., vocabulary)."""
        return self.model.lm_head(hidden)

    def modules(self) -> nn.ModuleDict:
        """Trunk and MTP module under one roof, for optimizers and checkpoints."""
        parts: dict[str, nn.Module] = {"trunk": self.model}
        if self.mtp is not None:
            parts["mtp"] = self.mtp
        return nn.ModuleDict(parts)


def find(name: str) -> Path:
    """The folder of a shipped model or a path; refuses one that is not a model folder."""
    folder = SHIPPED.get(name, Path(name))
    if not (folder / "config.json").is_file():
        raise UserError(
            "a model is a shipped name or a Hugging Face folder with a config.json",
            got=f"`{name}`, where there is no config.json",
            remedy=f"use one of {sorted(SHIPPED)} or the path of a folder written by `save_pretrained`",
        )
    return folder


def build(config: DeepseekV3Config, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LanguageModel:
    """A freshly initialised DeepSeek-V3 model in float32, with its MTP module."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())
    model.config._experts_implementation = experts.register()
    return LanguageModel(model, tokenizer, MtpModule(model.config) if config.num_nextn_predict_layers else None)


def load(folder: Path, *, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """A model folder as written by `save` or by `save_pretrained`, in eval mode."""
    raw = json.loads((folder / "config.json").read_text())
    if raw.get("model_type") != "deepseek_v3":
        raise UserError(
            "afterbase trains models of the DeepSeek-V3 family so far",
            got=f"model_type `{raw.get('model_type')}` in {folder}",
            remedy="use `tiny-v3` or another folder with model_type deepseek_v3",
        )
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # the MTP keys, which transformers calls unexpected, are read below
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention.register(), local_files_only=True
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
    config = model.config
    assert isinstance(config, DeepseekV3Config)
    config._experts_implementation = experts.register()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    mtp = None
    tensors = load_file(folder / _WEIGHTS)
    if any(name.startswith(f"model.layers.{config.num_hidden_layers}.") for name in tensors):
        mtp = MtpModule(config)
        mtp.load_tensors(config.num_hidden_layers, tensors)
        for parameter in mtp.parameters():  # not the buffer: the router's bias stays in float32
            parameter.data = parameter.data.to(dtype)
        mtp.eval()
    return LanguageModel(model.eval(), tokenizer, mtp)


def save(lm: LanguageModel, folder: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Write a Hugging Face folder: trunk, tokenizer, and the MTP weights under their original names.

    Router biases stay in float32, as in the original checkpoints.
    """
    transformers_logging.disable_progress_bar()
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    tensors = load_file(folder / _WEIGHTS)
    if lm.mtp is not None:
        embedding, head = lm.model.model.embed_tokens.weight, lm.model.lm_head.weight
        tensors |= lm.mtp.tensors(lm.model.config.num_hidden_layers, embedding, head)
    tensors = {k: t if k.endswith("e_score_correction_bias") else t.to(dtype) for k, t in tensors.items()}
    save_file(tensors, folder / _WEIGHTS, metadata={"format": "pt"})
    if dtype != torch.float32:
        config = json.loads((folder / "config.json").read_text())
        config["dtype"] = str(dtype).removeprefix("torch.")
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
