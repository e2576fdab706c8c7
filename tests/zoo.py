"""Tiny random models of transformers' families, beside the toy tokenizer."""

import inspect
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

WIDTHS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
GPT2: dict[str, Any] = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
LATENT: dict[str, Any] = {
    **WIDTHS,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
}
GLM: dict[str, Any] = {
    **WIDTHS,
    "head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
LONGROPE: dict[str, Any] = {
    **WIDTHS,
    "original_max_position_embeddings": 64,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": 64,
    },
}

# One family for each thing that differs: bias, scale, cap, experts, positions, norms, windows.
WORKING: dict[str, tuple[Any, dict[str, Any]]] = {
    "llama": (hf.LlamaConfig, WIDTHS),
    "qwen3, tied": (hf.Qwen3Config, {**WIDTHS, "head_dim": 8, "tie_word_embeddings": True}),
    "phi, bias": (hf.PhiConfig, WIDTHS),
    "cohere, scale": (hf.CohereConfig, {**WIDTHS, "logit_scale": 0.0625}),
    "granite, divisor": (hf.GraniteConfig, {**WIDTHS, "logits_scaling": 8.0, "residual_multiplier": 0.22}),
    "hyperclovax, factor": (hf.HyperCLOVAXConfig, {**WIDTHS, "logits_scaling": 3.0}),
    "nanochat, cap": (hf.NanoChatConfig, WIDTHS),
    "gemma2, cap": (
        hf.Gemma2Config,
        {**WIDTHS, "head_dim": 8, "attn_logit_softcapping": None, "final_logit_softcapping": 3.0},
    ),
    "phimoe, bias": (hf.PhimoeConfig, {**WIDTHS, **EXPERTS, "num_local_experts": 4, "lm_head_bias": True}),
    "granitemoe, divisor": (hf.GraniteMoeConfig, {**WIDTHS, "logits_scaling": 8.0, "num_local_experts": 4}),
    "qwen3_moe": (hf.Qwen3MoeConfig, {**WIDTHS, **EXPERTS, "head_dim": 8}),
    "glm4_moe": (hf.Glm4MoeConfig, GLM),
    "gpt2, dropout": (hf.GPT2Config, GPT2),
    "opt, dropout": (hf.OPTConfig, {**WIDTHS, "ffn_dim": 64, "word_embed_proj_dim": 32, "dropout": 0.5}),
    "deepseek_v3": (hf.DeepseekV3Config, {**LATENT, "num_nextn_predict_layers": 0}),
}


def write(folder: Path, config: Any, tokenizer: Any, *, scale: float = 5.0, **options: Any) -> Path:
    """A random model whose weights are `scale` times as large as its family draws them, and whose biases are not 0."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(scale)
            if name.endswith("bias"):
                parameter.normal_()
    model.save_pretrained(folder, **options)
    tokenizer.save_pretrained(folder)
    return folder


def working(kind: str, folder: Path, tokenizer: Any, **options: Any) -> Path:
    """A folder of one of `WORKING`."""
    config, sizes = WORKING[kind]
    return write(folder, config(vocab_size=len(tokenizer), **sizes), tokenizer, **options)


def smallest(model_type: str, vocabulary: int) -> Any:
    """A config of any family, small by all the names that sizes have."""
    kind = CONFIG_MAPPING[model_type]
    known = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}
    known |= set(inspect.signature(kind.__init__).parameters)
    aliases = getattr(kind, "attribute_map", {}) or {}
    sizes = {**dict.fromkeys(("d_model", "n_embd"), 32), **LATENT, **GLM, **EXPERTS, **GPT2, "num_key_value_heads": 4}
    sizes |= {"vocab_size": vocabulary, "n_layers": 2, "num_layers": 2, "n_heads": 4, "num_heads": 4, "head_dim": 8}
    sizes |= {"ffn_dim": 64, "word_embed_proj_dim": 32, "rotary_dim": 4, "sliding_window": 64, "num_local_experts": 4}
    sizes |= {f"{part}_{name}": n for part in ("encoder", "decoder") for name, n in SIDES.items()}
    sizes = {name: n for name, n in sizes.items() if name in known | set(aliases)}
    sizes |= OWN.get(model_type, {})
    doubled = {alias for alias, name in aliases.items() if alias in sizes and name in sizes and alias != name}
    return kind(**{name: n for name, n in sizes.items() if name not in doubled})


# What a family calls by a name of its own.
OWN: dict[str, dict[str, Any]] = {
    "lfm2": {"full_attn_idxs": [1]},
    "qwen3_next": {"linear_num_value_heads": 2, "linear_num_key_heads": 2, "shared_expert_intermediate_size": 16},
    "llama4_text": {"intermediate_size_mlp": 64},
    "glm4_moe_lite": {"num_key_value_heads": 4},
}
SIDES = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}
