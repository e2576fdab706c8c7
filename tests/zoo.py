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
    parts = PARTS.get(model_type, {})
    sizes |= {part: smallest(of, vocabulary).to_dict() for part, of in parts.items()}
    sizes |= OWN.get(model_type, {})
    doubled = {alias for alias, name in aliases.items() if alias in sizes and name in sizes and alias != name}
    return kind(**{name: n for name, n in sizes.items() if name not in doubled})


MAMBA: dict[str, Any] = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 8}
LINEAR: dict[str, Any] = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
# The upper layers take keys and values of lower ones.
SHARING: dict[str, Any] = {
    "num_hidden_layers": 4,
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
}
SMALL_VISION: dict[str, Any] = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"image_size": 28, "crop_size": 28, "patch_size": 14},
}
SMALL_AUDIO: dict[str, Any] = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_blocks": 2, "num_attention_heads": 4, "input_size": 8},
    **{"ext_pw_out_channel": 32, "depthwise_separable_out_channel": 32, "nemo_conv_channels": 32, "nemo_final_size": 2},
}
# What a family calls by a name of its own.
OWN: dict[str, dict[str, Any]] = {
    "lfm2": {"full_attn_idxs": [1]},
    "qwen3_next": {"linear_num_value_heads": 2, "linear_num_key_heads": 2, "shared_expert_intermediate_size": 16},
    "llama4_text": {"intermediate_size_mlp": 64},
    "glm4_moe_lite": {"num_key_value_heads": 4},
    "bamba": MAMBA,
    "granitemoehybrid": {**MAMBA, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 64},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 16, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
    },
    "dots1": {"n_shared_experts": 1},
    "electra": {"embedding_size": 32},
    "mimo_v2_flash": {"num_key_value_heads": 2},
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 64},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "gemma3n_text": {
        "vocab_size_per_layer_input": 1024,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 8,
        **SHARING,
    },
    "gemma4_text": {
        **{"vocab_size_per_layer_input": 1024, "hidden_size_per_layer_input": 8, "global_head_dim": 8},
        **SHARING,
    },
    "gemma4_unified_text": {"global_head_dim": 8},
    "reformer": {
        "is_decoder": True,
        "axial_pos_shape": [16, 32],
        "axial_pos_embds_dim": [16, 16],
        "attention_head_size": 8,
        "attn_layers": ["local", "local"],
        "feed_forward_size": 64,
    },
    "zaya": {"num_experts_per_tok": 1},
    "zamba": {
        "num_hidden_layers": 4,
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "n_mamba_heads": 2,
        "mamba_d_state": 8,
        "attention_head_dim": 16,
    },
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["mamba", "mamba", "hybrid", "mamba"]},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
            for kind in ("sliding_attention", "full_attention")
        },
    },
    "blt": {"encoder_hash_byte_group_vocab": 100, "cross_attn_k": 1},
    "blt_local_encoder": {"hidden_size_global": 32, "cross_attn_k": 1},
    "blt_local_decoder": {"hidden_size_global": 32, "cross_attn_k": 1},
    "mllama_text_model": {"cross_attention_layers": []},
    "qwen3_5_text": LINEAR,
    "qwen3_5_moe_text": {**LINEAR, "shared_expert_intermediate_size": 16},
    "qwen4_exp_text": {
        **LINEAR,
        "shared_expert_intermediate_size": 16,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
        "hc_lowrank": 8,
        "ngram_vocab_size_base": 1024,
        "split_ngram_parts": 1,
    },
    "phi4_multimodal": {"audio_config": SMALL_AUDIO, "vision_config": SMALL_VISION},
}
# Models of several parts, and of which family each is.
PARTS: dict[str, dict[str, str]] = {
    "gemma3": {"text_config": "gemma3_text", "vision_config": "siglip_vision_model"},
    "gemma3n": {"text_config": "gemma3n_text"},
    "gemma4": {"text_config": "gemma4_text"},
    "gemma4_unified": {"text_config": "gemma4_unified_text"},
    "mllama": {"text_config": "mllama_text_model"},
    "got_ocr2": {"text_config": "qwen2", "vision_config": "got_ocr2_vision"},
    "qwen3_5": {"text_config": "qwen3_5_text", "vision_config": "qwen3_5_vision"},
    "qwen3_5_moe": {"text_config": "qwen3_5_moe_text", "vision_config": "qwen3_5_moe_vision"},
    "qwen4_exp": {"text_config": "qwen4_exp_text"},
    "llama4": {"text_config": "llama4_text"},
    "fuyu": {"text_config": "persimmon"},
    "emu3": {"text_config": "emu3_text_model"},
    "moss_transcribe_diarize": {"text_config": "qwen3", "audio_config": "moss_transcribe_diarize_audio"},
    "git": {"vision_config": "git_vision_model"},
    "blt": {
        "patcher_config": "blt_patcher",
        "encoder_config": "blt_local_encoder",
        "decoder_config": "blt_local_decoder",
        "global_config": "blt_global_transformer",
    },
}
SIDES = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}
