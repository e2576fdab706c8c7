"""Rollouts of a random tiny DeepSeek-V3, ours against `transformers.generate`: same prompts, same lengths, no stop.

    PYTHONPATH=src python benchmarks/rollout.py [--json] [--rounds 5] [--threads 2]

Both run in this process, in turn, and each is given its fastest round. `unit` is sampled tokens a second.
"""

import argparse
import time
from typing import Any

import torch
from measures import tell
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from afterbase.rollout.engine import Sampling
from afterbase.rollout.local import LocalEngine

PROMPTS, SAMPLES, NEW_TOKENS = 32, 8, 48
VOCABULARY = 1024


def tiny_model() -> DeepseekV3ForCausalLM:
    """2.9M parameters, random."""
    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        moe_intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        n_shared_experts=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        n_group=4,
        topk_group=2,
        first_k_dense_replace=1,
        q_lora_rank=96,
        kv_lora_rank=64,
        qk_nope_head_dim=32,
        qk_rope_head_dim=16,
        v_head_dim=32,
        max_position_embeddings=1024,
    )
    model = DeepseekV3ForCausalLM(config).eval()
    model.set_experts_implementation("eager")  # the fastest of the peer's on a CPU
    return model


def prompts_of_varied_length() -> list[list[int]]:
    """24 to 55 tokens, as the questions of the tiny domains have."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(2, VOCABULARY, (24 + index,), generator=generator).tolist() for index in range(PROMPTS)]


def ours(model: DeepseekV3ForCausalLM, prompts: list[list[int]]) -> None:
    sampling = Sampling(temperature=1.0, max_new_tokens=NEW_TOKENS, stop_token_ids=(), seed=0)
    results = LocalEngine(model).generate(prompts, samples=SAMPLES, sampling=sampling)
    assert all(len(completion.token_ids) == NEW_TOKENS for row in results for completion in row)


@torch.inference_mode()
def peer(model: Any, prompts: list[list[int]]) -> None:
    width = max(map(len, prompts))
    padded = [[0] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    output = model.generate(
        torch.tensor(padded),
        attention_mask=torch.tensor(mask),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        num_return_sequences=SAMPLES,
        max_new_tokens=NEW_TOKENS,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert output.shape == (PROMPTS * SAMPLES, width + NEW_TOKENS)


def seconds(run, *arguments) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, prompts = tiny_model(), prompts_of_varied_length()
    ours(model, prompts)  # warm both
    peer(model, prompts)
    rounds = [(seconds(ours, model, prompts), seconds(peer, model, prompts)) for _ in range(arguments.rounds)]
    tokens = PROMPTS * SAMPLES * NEW_TOKENS
    our_rate, peer_rate = (tokens / min(times) for times in zip(*rounds, strict=True))
    ratio = our_rate / peer_rate
    tell("tiny_rollout_vs_transformers", our_rate, "tokens/s", peer=peer_rate, ratio=ratio, as_json=arguments.json)


if __name__ == "__main__":
    main()
