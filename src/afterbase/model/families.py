"""Which models can be trained at all: decided by the config before any weight is read."""

import json
import math
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

from afterbase.core.errors import UserError
from afterbase.model.fp8 import block_size, quantisation

# Families whose packed rows, training, saving and decoding equal transformers' own in our tests. Others may work too:
# each model proves it when it is loaded.
WORK = (
    "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "exaone4", "gemma", "gemma2", "gemma3", "gemma3_text", "glm4",
    "glm4_moe", "gpt2", "gpt_neox", "gpt_oss", "granite", "granitemoe", "hyperclovax", "llama", "mistral", "mixtral",
    "nanochat", "olmo2", "olmo3", "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
    "smollm3",
)  # fmt: skip

_UNNAMED = 1 << 20  # tokens: the context of a model whose config names none
_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx")


def context_length(config: PretrainedConfig) -> int:
    """The most tokens that a model reads at once, by its config; 2^20 where that names no limit."""
    text: Any = config.get_text_config()
    lengths = (getattr(text, name, None) for name in _CONTEXT_NAMES)
    return next((n for n in lengths if isinstance(n, int) and n > 0), _UNNAMED)


def attention_chunk(config: PretrainedConfig) -> float:
    """The shortest chunk that any of a model's layers attends within, in tokens; infinite without one.

    Chunks, unlike sliding windows (`layer_windows`), are no part of the attention that is given from outside.
    """
    text = config.get_text_config().to_dict()
    kinds = text.get("layer_types")
    chunk = text.get("attention_chunk_size") if kinds is None or "chunked_attention" in kinds else None
    return chunk or math.inf


def layer_windows(config: PretrainedConfig) -> list[int | None]:
    """The sliding window of each layer, in tokens, by the config."""
    text = config.get_text_config().to_dict()
    window = text.get("sliding_window") if text.get("use_sliding_window", True) else None
    kinds = text.get("layer_types") or ["sliding_attention"] * text.get("num_hidden_layers", 0)
    return [window or None if kind == "sliding_attention" else None for kind in kinds]


def rope_turn(config: PretrainedConfig) -> float:
    """The longest pass, in tokens, that has the positions of a short one; infinite where positions never change.

    LongRoPE (arXiv 2402.13753) as transformers has it, and dynamic scaling, turn to other frequencies where the longest
    sequence of a pass is longer: all that is read in that pass turns with it.
    """
    text: Any = config.get_text_config()
    given = getattr(text, "rope_parameters", None) or {}
    turns = []
    for rope in [given, *(r for r in given.values() if isinstance(r, dict))]:
        kind = rope.get("rope_type")
        if kind == "longrope":
            own = rope.get("original_max_position_embeddings")
            turns.append(own or getattr(text, "original_max_position_embeddings", None) or context_length(config))
        elif kind == "dynamic":
            turns.append(rope.get("original_max_position_embeddings") or context_length(config))
    return min(turns, default=math.inf)


def longest_sequence(config: PretrainedConfig) -> int:
    """The most tokens of prompt and answer that the local engines can hold: within context, chunk and one rope."""
    return int(min(context_length(config), attention_chunk(config), rope_turn(config)))


def read_config(folder: Path) -> PretrainedConfig:
    """The config of a model folder.

    It says nothing of weights in fp8, which are loaded as the numbers that they stand for (fp8.py). Raises UserError
    for one that runs code of its own, for weights quantised otherwise, and for what is no decoder-only model.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text())
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise unsupported(_kind(path), f"{type(error).__name__}: {error}") from error
    quantised = quantisation(raw)
    if quantised and block_size(raw) is None:
        raise UserError(
            "weights to be trained are floating-point numbers, or fp8 with a scale a block (`weight_block_size`)",
            got=f"{folder}, quantised by `{quantised.get('quant_method', 'an unnamed method')}`",
            remedy="convert it to bfloat16 first, and take `quantization_config` out of its config.json",
        )
    for part in (config, config.get_text_config()):
        if hasattr(part, "quantization_config"):
            delattr(part, "quantization_config")
    if config.is_encoder_decoder:
        raise unsupported(config.model_type, "an encoder and a decoder")
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise unsupported(config.model_type, "a config without a causal language model")
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False):
        raise unsupported(config.model_type, "an encoder alone, whose tokens see what comes after them")
    return config


def unsupported(model_type: str, found: str) -> UserError:
    """The error for a family that cannot be trained, with the reason in one line."""
    if "afterbase_packed" in found:
        found = "its attention cannot be given from outside, as transformers lets most families do"
    elif "a mask of the family's own" in found:
        found = "its layers give the attention a mask of their own"
    elif "argument: 'segments'" in found:
        found = "its layers do not hand on to the attention where samples begin and end"
    return UserError(
        "a model is a decoder-only language model that transformers runs without code of its own, attending by keys "
        "and values alone",
        got=f"model_type `{model_type}`: {' '.join(found.split())[:300]}",
        remedy=f"use a model of a family that works: {', '.join(WORK)}",
    )


def _kind(path: Path) -> str:
    try:
        return str(json.loads(path.read_text()).get("model_type", "none"))
    except (ValueError, AttributeError):
        return "none"
