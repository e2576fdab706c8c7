"""Families without a decoder of their own, in the local engine."""

from dataclasses import replace

import pytest
import torch
from transformers import (
    DeepseekV2Config,
    DeepseekV2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Glm4Config,
    Glm4ForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from afterbase.core.errors import UserError
from afterbase.model.decoding.decode_any import AnyDecoder
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from prompt_pieces import expect_the_same_in_pieces
from zoo import LATENT

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
GROUPED = {**SIZES, "num_key_value_heads": 2, "head_dim": 12}
PROMPTS = [torch.randint(61, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (9, 3, 14, 1)]
SAMPLING = Sampling(temperature=0.0, max_new_tokens=10, stop_token_ids=(5,), seed=3)

FAMILIES = {
    "glm4": lambda: Glm4ForCausalLM(Glm4Config(**GROUPED)),
    "gpt-neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES)),
    "gemma2, capped and windowed": lambda: Gemma2ForCausalLM(
        Gemma2Config(**GROUPED, attn_logit_softcapping=2.0, query_pre_attn_scalar=4, sliding_window=6)
    ),
    "mistral, windowed": lambda: MistralForCausalLM(MistralConfig(**GROUPED, sliding_window=5)),
    "gpt-oss, sinks": lambda: GptOssForCausalLM(
        GptOssConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2, sliding_window=7)
    ),
    "deepseek-v2, narrow values": lambda: DeepseekV2ForCausalLM(
        DeepseekV2Config(**{**LATENT, **SIZES, "head_dim": 8}, topk_method="greedy")
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    torch.manual_seed(0)
    model = FAMILIES[request.param]().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("sinks"):
            torch.nn.init.normal_(parameter)
    return model


def test_greedy_equals_generate(model):
    engine = LocalEngine(model, max_rows=3)
    assert isinstance(engine._decoder, AnyDecoder)
    results = engine.generate(PROMPTS, samples=1, sampling=SAMPLING)
    for prompt, [completion] in zip(PROMPTS, results, strict=True):
        expected = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=10,
            eos_token_id=5,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert completion.token_ids == expected


def test_logps_are_those_of_the_module_which_is_left_as_it_was(model):
    before = model.config._attn_implementation
    results = LocalEngine(model, max_rows=5).generate(PROMPTS, samples=3, sampling=replace(SAMPLING, temperature=0.7))
    assert model.config._attn_implementation == before
    for prompt, row in zip(PROMPTS, results, strict=True):
        for completion in row:
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion.token_ids]), use_cache=False).logits[0]
            logps = torch.log_softmax(logits[len(prompt) - 1 : -1] / 0.7, -1)
            chosen = logps.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logps), chosen, atol=1e-4, rtol=0)


def test_a_prompt_may_be_read_in_pieces(model):
    decoder = AnyDecoder(model)
    prompt = torch.randint(61, (24,), generator=torch.Generator().manual_seed(0)).tolist()
    expect_the_same_in_pieces(decoder, prompt, (7, 8, 19, 24))


def test_new_weights_are_seen_after_sync():
    torch.manual_seed(0)
    model = FAMILIES["glm4"]().eval()
    engine = LocalEngine(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    engine.sync(1)
    expected = LocalEngine(model).generate(PROMPTS, samples=1, sampling=SAMPLING)
    assert [r[0].token_ids for r in engine.generate(PROMPTS, samples=1, sampling=SAMPLING)] == [
        r[0].token_ids for r in expected
    ]


def test_a_window_that_attention_is_not_told_of_bounds_a_sequence():
    """Qwen2-MoE hands its windows to the mask alone."""
    config = Qwen2MoeConfig(
        **{**GROUPED, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4},
        use_sliding_window=True, sliding_window=24, layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    torch.manual_seed(0)
    engine = LocalEngine(Qwen2MoeForCausalLM(config).eval())
    engine.generate(PROMPTS, samples=1, sampling=SAMPLING)
    with pytest.raises(UserError, match="all of a sequence") as raised:
        engine.generate(PROMPTS, samples=1, sampling=replace(SAMPLING, max_new_tokens=11))
    assert raised.value.got == "14 + 11 tokens, and a chunk or window of 24"


def test_a_model_without_attention_is_refused():
    config = MambaConfig(vocab_size=61, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(UserError, match="lets it replace"):
        LocalEngine(MambaForCausalLM(config).eval())
