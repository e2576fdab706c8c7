"""The decoder against the module it reads: same logits in prefill and step, whatever shares the batch."""

import numpy as np
import pytest
import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from afterbase.model.decoding.decode_deepseek_v3 import LatentDecoder
from afterbase.model.decoding.latent_cache import LatentCache
from prompt_pieces import expect_the_same_in_pieces


def read_prompts(decoder: LatentDecoder, prompts: list[list[int]]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Each prompt's latents_LWD, and the logits_PV after its last token."""
    latents, states = decoder.read(prompts)
    last = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0) - 1
    return latents, decoder.logits(states.hidden_MX[last])


def feed_tokens(decoder: LatentDecoder, tokens: torch.Tensor, cache: LatentCache) -> torch.Tensor:
    """The logits_MV after one or more tokens a row."""
    return decoder.logits(decoder.feed(tokens, cache).hidden_MX)


def tiny_model(**changes) -> DeepseekV3ForCausalLM:
    """A random model with all the parts: a dense layer, groups, a routing bias that changes choices."""
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 97,
        "hidden_size": 48,
        "intermediate_size": 64,
        "moe_intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "n_shared_experts": 1,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_group": 4,
        "topk_group": 2,
        "first_k_dense_replace": 1,
        "q_lora_rank": 20,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 12,
        "qk_rope_head_dim": 8,
        "v_head_dim": 10,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**{**sizes, **changes})).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.add_(torch.randn_like(weight) * 0.2)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn(8) * 0.5 - 0.5)
    return model


def random_prompts(lengths: list[int], vocabulary: int = 97) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
def reference(model: DeepseekV3ForCausalLM, tokens: list[int]) -> torch.Tensor:
    """Log-probabilities after the last token, by the module itself."""
    return model(torch.tensor([tokens]), use_cache=False).logits[0, -1].log_softmax(-1)


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rope_interleave": False},
        {"q_lora_rank": None},
        {"attention_bias": True},
        {"attention_bias": True, "q_lora_rank": None},
        {"n_group": 1, "topk_group": 1},
        {"norm_topk_prob": False},
        {"rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
    ],
    ids=str,
)
def test_logits_equal_the_module(changes):
    model = tiny_model(**changes)
    decoder = LatentDecoder(model)
    prompts = random_prompts([5, 17, 1, 300])
    latents, logits = read_prompts(decoder, prompts)
    for prompt, row in zip(prompts, logits, strict=True):
        torch.testing.assert_close(row.log_softmax(-1), reference(model, prompt), atol=1e-4, rtol=0)

    cache = decoder.new_cache(rows=7, prompt_width=300, own_width=4)
    sequences = []
    for key, count in ((1, 3), (0, 1), (3, 2), (2, 1)):
        cache.add_rows(count, key=key, cached_LWD=latents[key])
        sequences += [list(prompts[key]) for _ in range(count)]
    for column in zip(*random_prompts([4] * 7), strict=True):
        for sequence, token in zip(sequences, column, strict=True):
            sequence.append(token)
        logits = feed_tokens(decoder, torch.tensor(column), cache)
        for sequence, row in zip(sequences, logits, strict=True):
            torch.testing.assert_close(row.log_softmax(-1), reference(model, sequence), atol=1e-4, rtol=0)


@pytest.mark.parametrize("changes", [{}, {"q_lora_rank": None}], ids=str)
def test_a_prompt_may_be_read_in_pieces(changes):
    decoder = LatentDecoder(tiny_model(**changes))
    [prompt] = random_prompts([300])
    expect_the_same_in_pieces(decoder, prompt, (7, 8, 290, 300))  # one of them longer than a block of queries


def test_rows_come_and_go():
    model = tiny_model()
    decoder = LatentDecoder(model)
    prompts = random_prompts([6, 3, 9, 4])
    latents, _ = read_prompts(decoder, prompts)
    cache = decoder.new_cache(rows=6, prompt_width=9, own_width=20)
    sequences: list[list[int]] = []
    rng = np.random.default_rng(0)

    def add(key: int, count: int) -> None:
        cache.add_rows(count, key=key, cached_LWD=latents[key])
        sequences.extend(list(prompts[key]) for _ in range(count))

    def remove(*gone: int) -> None:
        order = rng.permutation(np.setdiff1d(np.arange(len(sequences)), gone))
        sequences[:] = [sequences[row] for row in order]
        cache.keep_rows(order)

    def step() -> None:
        column = rng.integers(97, size=len(sequences))
        for sequence, token in zip(sequences, column, strict=True):
            sequence.append(int(token))
        logits = feed_tokens(decoder, torch.from_numpy(column), cache)
        for sequence, row in zip(sequences, logits, strict=True):
            torch.testing.assert_close(row.log_softmax(-1), reference(model, sequence), atol=1e-4, rtol=0)

    add(0, 2)
    add(1, 3)
    step()
    remove(0, 3)
    add(2, 1)
    step()
    add(1, 1)
    add(3, 1)
    step()
    remove(0, 1)  # with them the last row of a prompt goes
    step()
    add(0, 2)
    step()
    remove(0, 1, 2, 3, 4, 5)
    add(2, 1)
    step()


def test_several_tokens_a_row_and_some_taken_back():
    """Rows of different length, one of a prompt of a single token; what is taken back leaves no trace."""
    model = tiny_model()
    decoder = LatentDecoder(model)
    prompts = random_prompts([6, 1, 9])
    latents, _ = read_prompts(decoder, prompts)
    cache = decoder.new_cache(rows=4, prompt_width=9, own_width=12)
    sequences = []
    for key in (0, 0, 1, 2):
        cache.add_rows(1, key=key, cached_LWD=latents[key])
        sequences.append(list(prompts[key]))
    rng = np.random.default_rng(0)
    for count in (2, 1, 3, 2):
        tokens = rng.integers(97, size=(4, count))
        logits = feed_tokens(decoder, torch.from_numpy(tokens.reshape(-1)), cache).view(4, count, -1)
        kept = rng.integers(1, count + 1, size=4)
        for row, sequence in enumerate(sequences):
            for token, of_token in zip(tokens[row], logits[row], strict=True):
                sequence.append(int(token))
                torch.testing.assert_close(of_token.log_softmax(-1), reference(model, sequence), atol=1e-4, rtol=0)
            del sequence[len(sequence) - count + kept[row] :]
        cache.forget(count - kept)


def test_refresh_sees_new_weights():
    model = tiny_model()
    decoder = LatentDecoder(model)
    prompt = random_prompts([8])[0]
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    decoder.refresh()
    _, logits = read_prompts(decoder, [prompt])
    torch.testing.assert_close(logits[0].log_softmax(-1), reference(model, prompt), atol=1e-4, rtol=0)
