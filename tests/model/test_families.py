"""Families that cannot be trained are refused in one sentence, with those that can; and lengths from any config."""

import json

import pytest
import torch
import transformers as hf
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.model.families import (
    WORK,
    attention_chunk,
    context_length,
    layer_windows,
    longest_sequence,
    read_config,
    rope_turn,
)
from afterbase.model.load import load, save
from afterbase.model.probe import logps_alone, token_log_probabilities
from afterbase.train.loop import Training, prepare
from afterbase.train.optimizer import Optimisation
from zoo import GPT2, LONGROPE, WIDTHS, smallest, working, write

REFUSED = {
    "falcon": "attention cannot be given from outside",
    "gptj": "attention cannot be given from outside",
    "codegen": "",
    "mpt": "",
    "deepseek_v32": "read a mask of what each token may see",
    "doge": "a mask of their own",
    "bloom": "",
    "mamba": "",
    "bert": "",
    "rwkv": "",
    "xlnet": "",
    "lfm2": "states that differ by",
    "qwen3_next": "",
}


@pytest.mark.parametrize("model_type", REFUSED)
def test_a_family_that_does_not_work_is_refused_with_the_reason_and_those_that_do(model_type, toy_tokenizer, tmp_path):
    folder = write(tmp_path / "odd", smallest(model_type, len(toy_tokenizer)), toy_tokenizer)
    with pytest.raises(UserError) as raised:
        load(folder)
    assert f"`{model_type}`" in raised.value.got
    assert REFUSED[model_type] in raised.value.got
    assert "\n" not in raised.value.got
    assert all(family in raised.value.remedy for family in WORK)


def test_so_is_an_encoder_with_a_decoder(toy_tokenizer, tmp_path):
    config = hf.T5Config(vocab_size=len(toy_tokenizer), d_model=32, d_ff=64, num_layers=1, num_heads=2, d_kv=16)
    hf.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="decoder-only") as raised:
        read_config(tmp_path)
    assert "`t5`: an encoder and a decoder" in raised.value.got


CONFIGS = {
    "code of its own": {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}},
    "unknown": {"model_type": "no_such_family"},
    "no type": {"hidden_size": 8},
    "no text": {"model_type": "vit"},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_so_is_a_config_that_no_language_model_has(kind, tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('code of a model folder was run')\n")
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS[kind]))
    with pytest.raises(UserError, match="decoder-only language model that transformers runs without code of its own"):
        read_config(tmp_path)


@pytest.mark.parametrize("method", ["awq", "bitsandbytes", "gptq", "mxfp4"])
def test_quantised_weights_are_refused_before_any_is_read(method, tmp_path, toy_tokenizer):
    folder = working("deepseek_v3", tmp_path / "model", toy_tokenizer)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "weight_block_size": [128, 128]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="floating-point numbers") as raised:
        load(folder)
    assert f"`{method}`" in raised.value.got


DYNAMIC = {**WIDTHS, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}
YARN = {
    **WIDTHS,
    "rope_parameters": {
        "rope_type": "yarn",
        "factor": 4.0,
        "rope_theta": 1e4,
        "original_max_position_embeddings": 128,
    },
}
GEMMA3 = {"head_dim": 8, "sliding_window": 32, **WIDTHS}


CHUNKED = {**WIDTHS, "head_dim": 8, "attention_chunk_size": 32, "layer_types": ["chunked_attention", "full_attention"]}


@pytest.mark.parametrize(
    ("config", "context", "chunk", "turn"),
    [
        (hf.LlamaConfig(**WIDTHS), 512, None, None),
        (hf.GPT2Config(**GPT2), 512, None, None),
        (hf.BloomConfig(hidden_size=32), 1 << 20, None, None),
        (hf.Llama4TextConfig(**CHUNKED), 512, 32, None),
        (hf.Llama4TextConfig(**{**CHUNKED, "layer_types": ["full_attention"] * 2}), 512, None, None),
        (hf.MistralConfig(**WIDTHS, sliding_window=24), 512, None, None),
        (hf.Phi3Config(**LONGROPE), 512, None, 64),
        (hf.LlamaConfig(**DYNAMIC), 512, None, 512),
        (hf.LlamaConfig(**YARN), 512, None, None),
    ],
    ids=["llama", "gpt2", "bloom", "llama4", "llama4, no chunks", "mistral", "longrope", "dynamic", "yarn"],
)
def test_lengths_are_read_from_any_config(config, context, chunk, turn):
    assert context_length(config) == context
    assert attention_chunk(config) == (float("inf") if chunk is None else chunk)
    assert rope_turn(config) == (float("inf") if turn is None else turn)
    assert longest_sequence(config) == min(n for n in (context, chunk, turn) if n is not None)


@pytest.mark.parametrize(
    ("config", "windows"),
    [
        (hf.LlamaConfig(**WIDTHS), [None, None]),
        (hf.MistralConfig(**WIDTHS, sliding_window=24), [24, 24]),
        (hf.Qwen2Config(**WIDTHS, sliding_window=24), [None, None]),
        (hf.Gemma3Config(text_config={**GEMMA3, "layer_types": ["sliding_attention", "full_attention"]}), [32, None]),
    ],
    ids=["llama", "mistral", "qwen2", "gemma3"],
)
def test_so_are_the_windows_of_layers(config, windows):
    assert layer_windows(config) == windows


TRAINING = Training(optimisation=Optimisation(learning_rate=1e-3, floor=1e-4), checkpoint_every=2)


def noisy(config) -> None:
    """Give a config all the dropout and jitter that its family knows by any name."""
    for name, value in vars(config).items():
        if isinstance(value, hf.PretrainedConfig):
            noisy(value)
        elif isinstance(value, float) and any(part in name for part in ("drop", "jitter", "noise")):
            setattr(config, name, 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted({config.model_type for config in MODEL_FOR_CAUSAL_LM_MAPPING}))
def test_every_family_of_transformers_is_refused_or_has_its_own_log_probabilities(model_type, toy_tokenizer, tmp_path):
    try:
        config = smallest(model_type, len(toy_tokenizer) + 8)  # some families add a token
        with torch.device("meta"):
            weights = sum(p.numel() for p in hf.AutoModelForCausalLM.from_config(config).parameters())
        if weights > 3e7:
            pytest.skip(f"not small by the usual names: {weights} weights")
        if model_type != "diffllama":  # which refuses dropout itself
            noisy(config)
        folder = write(tmp_path / "model", config, toy_tokenizer, scale=3.0)
    except Exception as error:
        pytest.skip(f"cannot be made small by the usual names: {error}")
    try:
        lm = load(folder)
    except UserError:
        assert model_type not in WORK
        return
    ids = torch.randint(3, 300, (26,), generator=torch.Generator().manual_seed(1))
    model = hf.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        ours = token_log_probabilities(lm.hidden(ids, Segments.of([14, 12])), lm.head, ids, [14, 12])
        torch.testing.assert_close(ours, logps_alone(model, ids, [14, 12]), rtol=0, atol=1e-4)
    recompute = lm.model.supports_gradient_checkpointing
    prepare(lm.model, lm.modules(), TRAINING.model_copy(update={"recompute": recompute}))
    trained = token_log_probabilities(lm.hidden(ids, Segments.of([14, 12])), lm.head, ids, [14, 12])
    torch.testing.assert_close(trained, ours, rtol=0, atol=1e-5)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.mul_(1.01)
    save(lm, tmp_path / "out")  # refuses what does not come back
