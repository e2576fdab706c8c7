"""The families of the matrix: tiny configs beside their chat templates, and kinds of models that are refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import transformers as hf

from zoo import EXPERTS, LATENT, WIDTHS

WINDOW: dict[str, Any] = {"sliding_window": 8}


EVERY_OTHER: dict[str, Any] = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}


HEAD: dict[str, Any] = {"head_dim": 8}


CAPS: dict[str, Any] = {"attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8, "final_logit_softcapping": 20.0}


LLAMA3_ROPE: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
}  # fmt: skip


YARN: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 128,
        "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    }
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A tiny model's config, beside the vocabulary, and its chat template among `tests/templates`."""

    config: Any
    sizes: dict[str, Any]
    template: str = "chatml"
    fast: bool = False


def gemma3_with_images(*, vocab_size: int, **text: Any) -> hf.Gemma3Config:
    """A vision tower beside the text model, as the larger models of the family are published."""
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    return hf.Gemma3Config(
        text_config={"vocab_size": vocab_size, **text}, vision_config=vision, mm_tokens_per_image=4,
        boi_token_index=3, eoi_token_index=4, image_token_index=5,
    )  # fmt: skip


FAMILIES = {
    "Llama 2": Family(hf.LlamaConfig, WIDTHS, fast=True),
    "Llama 3, tied, scaled rope": Family(
        hf.LlamaConfig, {**WIDTHS, **LLAMA3_ROPE, "tie_word_embeddings": True}, "llama3", fast=True
    ),
    "Qwen2, Qwen2.5": Family(hf.Qwen2Config, WIDTHS, "qwen2.5", fast=True),
    "Qwen3": Family(hf.Qwen3Config, {**WIDTHS, **HEAD, "tie_word_embeddings": True}, "qwen3", fast=True),
    "Qwen3-MoE": Family(hf.Qwen3MoeConfig, {**WIDTHS, **EXPERTS, **HEAD}, "qwen3"),
    "Mistral": Family(hf.MistralConfig, {**WIDTHS, "sliding_window": None}, "mistral", fast=True),
    "Mistral, sliding window": Family(hf.MistralConfig, {**WIDTHS, **WINDOW}, "mistral"),
    "Gemma 2": Family(hf.Gemma2Config, {**WIDTHS, **HEAD, **CAPS, **EVERY_OTHER}, "gemma2"),
    "Gemma 3, text": Family(hf.Gemma3TextConfig, {**WIDTHS, **HEAD, **EVERY_OTHER}, "gemma3"),
    "Gemma 3 with images, on text": Family(gemma3_with_images, {**WIDTHS, **HEAD, **EVERY_OTHER}, "gemma3"),
    "Phi-3, sliding window": Family(hf.Phi3Config, {**WIDTHS, **WINDOW}, "phi3"),
    "Phi-4": Family(hf.Phi3Config, {**WIDTHS, "sliding_window": None, "partial_rotary_factor": 0.5}, "phi4"),
    "OLMo 2": Family(hf.Olmo2Config, WIDTHS),
    "OLMo 3": Family(hf.Olmo3Config, {**WIDTHS, **EVERY_OTHER}),
    "SmolLM3": Family(hf.SmolLM3Config, {**WIDTHS, "no_rope_layers": [1, 0]}, "smollm3"),
    "Granite": Family(
        hf.GraniteConfig,
        {**WIDTHS, "logits_scaling": 2.0, "residual_multiplier": 0.22, "attention_multiplier": 0.2},
    ),
    "GLM-4": Family(hf.Glm4Config, {**WIDTHS, **HEAD}, "glm4"),
    "gpt-oss": Family(
        hf.GptOssConfig,
        {**WIDTHS, **HEAD, **EVERY_OTHER, **YARN, "num_local_experts": 4, "num_experts_per_tok": 2},
        "gpt-oss",
    ),
    "DeepSeek-V2": Family(
        hf.DeepseekV2Config, {**LATENT, **HEAD, "topk_method": "greedy", "n_shared_experts": 1}
    ),
    "DeepSeek-V3": Family(
        hf.DeepseekV3Config, {**LATENT, "num_nextn_predict_layers": 0}, "deepseek-v3", fast=True
    ),
}  # fmt: skip


# By transformers' name of the family, or a config beside it.
REFUSED: dict[str, str | Callable[[], Any]] = {
    "Mamba": "mamba",
    "Mamba 2": "mamba2",
    "RWKV": "rwkv",
    "Jamba": "jamba",
    "Bamba": "bamba",
    "Falcon-H1": "falcon_h1",
    "Granite 4 hybrid": "granitemoehybrid",
    "Zamba 2": "zamba2",
    "LFM2": "lfm2",
    "Qwen3-Next": "qwen3_next",
    "Qwen3.5, text": "qwen3_5_text",
    "Llava": lambda: hf.LlavaConfig(),
    "Qwen2-VL": lambda: hf.Qwen2VLConfig(),
    "Qwen2.5-VL": lambda: hf.Qwen2_5_VLConfig(),
    "PaliGemma": lambda: hf.PaliGemmaConfig(),
    "T5": lambda: hf.T5Config(),
    "BART": lambda: hf.BartConfig(),
    "BERT": "bert",
}
