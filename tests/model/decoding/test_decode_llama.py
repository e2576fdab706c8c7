"""Llama and its like in the local engine: what `generate` and a training forward give, and in int8 nearly that."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.model.decoding.decode_llama import LlamaDecoder, int8_product
from afterbase.model.load import LanguageModel, load
from afterbase.rollout.engine import Completion, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from prompt_pieces import expect_the_same_in_pieces

SMOLLM2 = Path(__file__).parents[3] / ".cache/smollm2"
SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
PROMPTS = [torch.randint(61, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (9, 3, 14, 1, 9, 6)]
SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, stop_token_ids=(5, 7), seed=3)
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}

FAMILIES = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
    "tied, biases, yarn": lambda: LlamaForCausalLM(
        LlamaConfig(**SIZES, tie_word_embeddings=True, attention_bias=True, mlp_bias=True, rope_parameters=YARN)
    ),
    "wide heads": lambda: MistralForCausalLM(MistralConfig(**SIZES, head_dim=12, sliding_window=None)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=12, rms_norm_eps=1e-2)),
}


def build(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = FAMILIES[name]().eval()
    with torch.no_grad():
        for parameter_name, weight in model.named_parameters():
            if "norm" in parameter_name or parameter_name.endswith("bias"):
                weight.add_(torch.randn_like(weight) * 0.2)
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def model(request) -> PreTrainedModel:
    return build(request.param)


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return build("llama")


def answers(results: list[list[Completion]]) -> list[list[list[int]]]:
    return [[completion.token_ids for completion in row] for row in results]


def expected_logps(model: PreTrainedModel, prompt: list[int], completion: Completion, temperature: float):
    with torch.no_grad():
        logits = model(torch.tensor([prompt + completion.token_ids]), use_cache=False).logits[0]
    logps = torch.log_softmax(logits[len(prompt) - 1 : -1] / temperature, -1)
    return logps.gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]


def test_these_run_on_merged_products(model):
    assert LlamaDecoder.runs(model)


def test_greedy_equals_generate(model):
    results = LocalEngine(model, max_rows=4).generate(PROMPTS, samples=1, sampling=replace(SAMPLING, temperature=0.0))
    for prompt, [completion] in zip(PROMPTS, results, strict=True):
        expected = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=[5, 7],
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        assert completion.token_ids == expected


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.3])
def test_logps_are_those_of_the_module(model, temperature):
    sampling = replace(SAMPLING, temperature=temperature)
    results = LocalEngine(model).generate(PROMPTS, samples=3, sampling=sampling)
    for prompt, row in zip(PROMPTS, results, strict=True):
        for completion in row:
            expected = expected_logps(model, prompt, completion, temperature)
            torch.testing.assert_close(torch.tensor(completion.logps), expected, atol=1e-4, rtol=0)


def test_samples_depend_neither_on_the_batch_nor_on_the_engine(model):
    expected = answers(LocalEngine(model, max_rows=128).generate(PROMPTS, samples=4, sampling=SAMPLING))
    for max_rows in (1, 7):
        assert (
            answers(LocalEngine(model, max_rows=max_rows).generate(PROMPTS, samples=4, sampling=SAMPLING)) == expected
        )


def test_a_prompt_may_be_read_in_pieces(model):
    decoder = LlamaDecoder(model)
    prompt = torch.randint(61, (200,), generator=torch.Generator().manual_seed(0)).tolist()
    expect_the_same_in_pieces(decoder, prompt, (7, 8, 195, 200))


def test_a_prompt_is_stored_once(llama):
    decoder = LlamaDecoder(llama)
    cached, _ = decoder.read(PROMPTS[:1])
    cache = decoder.new_cache(rows=5, prompt_width=9, own_width=2)
    cache.add_rows(3, key=0, cached_LWD=cached[0])
    cache.add_rows(2, key=0, cached_LWD=cached[0])
    assert cache.rows == 5
    assert cache._prompts_LPGWE[:, 0, :, :9].transpose(1, 2).flatten(2).equal(cached[0])
    assert not cache._prompts_LPGWE[:, 1:].any()


def test_int8_stays_near_and_reports_its_own_policy(llama):
    results = LocalEngine(llama, int8=True).generate(PROMPTS, samples=3, sampling=SAMPLING)
    assert answers(results) == answers(
        LocalEngine(llama, int8=True, max_rows=128).generate(PROMPTS, samples=3, sampling=SAMPLING)
    )
    pairs = [
        (torch.tensor(completion.logps), expected_logps(llama, prompt, completion, 1.0))
        for prompt, row in zip(PROMPTS, results, strict=True)
        for completion in row
    ]
    difference = torch.cat([ours - whole for ours, whole in pairs]).abs()
    assert 1e-5 < difference.mean() < 0.15


def test_int8_is_quantised_anew_at_each_sync():
    model = build("llama")
    engine = LocalEngine(model, int8=True)
    before = answers(engine.generate(PROMPTS, samples=2, sampling=SAMPLING))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    engine.sync(1)
    after = answers(engine.generate(PROMPTS, samples=2, sampling=SAMPLING))
    assert after != before
    assert after == answers(LocalEngine(model, int8=True).generate(PROMPTS, samples=2, sampling=SAMPLING))


def test_int8_products_do_not_overflow():
    """Weights and activations of the largest magnitude and one sign, and a row of zeros."""
    weight = torch.ones(3, 256)
    weight[1] = 0.0
    x = torch.ones(2, 256)
    x[1, 0] = -1.0
    torch.testing.assert_close(int8_product(weight, None)(x), x @ weight.T, rtol=0.02, atol=1e-3)


def test_int8_is_refused_elsewhere(toy_lm):
    with pytest.raises(UserError, match="int8"):
        LocalEngine(toy_lm.model, int8=True)


def test_other_dtypes_are_refused():
    with pytest.raises(UserError, match="float32"):
        LocalEngine(build("llama").bfloat16())


@pytest.fixture(scope="module")
def smollm2() -> LanguageModel:
    if not SMOLLM2.is_dir():
        pytest.skip(f"needs SmolLM2-135M in {SMOLLM2}: python benchmarks/smollm2.py")
    return load(SMOLLM2)


@pytest.mark.slow
def test_smollm2(smollm2):
    prompts = [smollm2.tokenizer.encode(text) for text in ("The capital of France is", "2 + 2 =")]
    sampling = replace(SAMPLING, max_new_tokens=8, stop_token_ids=(2,))
    results = LocalEngine(smollm2.model).generate(prompts, samples=2, sampling=sampling)
    for prompt, row in zip(prompts, results, strict=True):
        for completion in row:
            ids = torch.tensor([*prompt, *completion.token_ids])
            with torch.no_grad():
                logits = smollm2.logits(smollm2.hidden(ids, Segments.of([len(ids)])))
            logps = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1].gather(1, ids[len(prompt) :, None])[:, 0]
            torch.testing.assert_close(torch.tensor(completion.logps), logps, atol=1e-4, rtol=0)
