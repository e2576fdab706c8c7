"""One GRPO step on SmolLM2-135M-Instruct, ours against TRL's: 4 prompts x 8 samples x 96 tokens, beta 0.04.

    PYTHONPATH=src python benchmarks/grpo.py [--json] [--model FOLDER] [--rounds 1] [--threads 2] [--only NAME]

`benchmarks/smollm2.py` makes the model's folder where none is named. A step is sampling, the reference's
log-probabilities, the policy's gradient and the optimizer; no answer may stop early, so both sample the same number of
tokens, and rewards are random, so every answer bears a gradient. The two take turns, three steps each in a process of
its own, whose peak memory is read at its end; each is given its fastest step and its smallest peak. (The first step is
no measure of the others: it is the one that makes the optimizer's states, and the only one without them in memory.)
`--only` names one measure: `grpo_step_vs_trl` or `grpo_step_long_prompt_vs_trl` (prompts of 512 tokens).

`..._share_of_gemm` is the rate of our step at the products that it cannot do without, over the machine's rate on one
large product: what is missing to 1 is all that is left to gain in float32.
"""

import argparse
import random
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gemm import gemm, weights
from measures import in_a_process, peak_memory, tell
from smollm2 import smollm2
from transformers import AutoModelForCausalLM, AutoTokenizer

# afterbase, TRL and what they need are imported by the functions that use them: a library counts as memory.

STEPS, PROMPTS, SAMPLES, NEW_TOKENS, BETA, LEARNING_RATE = 3, 4, 8, 96, 0.04, 1e-6
LENGTHS = {"grpo_step_vs_trl": 64, "grpo_step_long_prompt_vs_trl": 512}


@dataclass(frozen=True)
class Run:
    """Seconds of each step, the tokens sampled in all, and the process's peak memory in GiB."""

    seconds: list[float]
    tokens: int
    peak: float


def prompts(tokenizer: Any, length: int) -> list[str]:
    """Texts of words, cut to `length` tokens."""
    rng = random.Random(0)
    words = ("the", "sum", "of", "seven", "green", "apples", "and", "a", "train", "from", "each", "house")
    texts = [" ".join(rng.choice(words) for _ in range(length)) for _ in range(PROMPTS)]
    return [tokenizer.decode(tokenizer(text)["input_ids"][:length]) for text in texts]


def ours(model: Path, texts: list[str], threads: int) -> Run:
    """What `train/grpo/stage.py` does in its steps, with random rewards and without a stop token."""
    from afterbase.core.sample import Problem
    from afterbase.model.load import load
    from afterbase.model.parallel import direct
    from afterbase.reward.route import Reward
    from afterbase.rollout.engine import Sampling
    from afterbase.rollout.local.local_engine import LocalEngine
    from afterbase.train.grpo.config import Grpo
    from afterbase.train.grpo.groups import Group
    from afterbase.train.grpo.objective import Objective
    from afterbase.train.grpo.policy_gradient import accumulate, experience
    from afterbase.train.memory import kept_memory
    from afterbase.train.optimizer import Optimisation, adamw, update

    torch.set_num_threads(threads)
    optimisation = Optimisation(learning_rate=LEARNING_RATE, floor=LEARNING_RATE)
    config = Grpo(
        steps=STEPS, prompts=PROMPTS, samples=SAMPLES, temperature=1.0, max_new_tokens=NEW_TOKENS, length_weight=0.0,
        objective=Objective(preset="grpo", beta=BETA), optimisation=optimisation, row_tokens=1400,
    )  # fmt: skip
    lm, reference = load(model), load(model)
    engine, optimizer = LocalEngine(lm.model), adamw(lm.model, optimisation)
    problem = Problem(domain="d", prompt="", gold=None, verifier="rubric", spec={})
    rng = random.Random(0)
    seconds, tokens = [], 0
    with kept_memory():
        for step in range(STEPS):
            started = time.perf_counter()
            ids = [lm.tokenizer(text)["input_ids"] for text in texts]
            engine.sync(step)
            sampling = Sampling(temperature=1.0, max_new_tokens=NEW_TOKENS, stop_token_ids=(), seed=step)
            completions = engine.generate(ids, samples=SAMPLES, sampling=sampling)
            groups = [
                Group(
                    problem=problem,
                    prompt_ids=prompt,
                    completions=group,
                    texts=[lm.tokenizer.decode(c.token_ids) for c in group],
                    rewards=[Reward(rng.random(), None) for _ in group],
                )
                for prompt, group in zip(ids, completions, strict=True)
            ]
            accumulate(lm, experience(lm, reference, groups, config, direct).groups, config, direct)
            update(optimizer, LEARNING_RATE, optimisation)
            seconds.append(time.perf_counter() - started)
            tokens += sum(len(c.token_ids) for group in completions for c in group)
    return Run(seconds, tokens, peak_memory())


def peer(model: Path, texts: list[str], threads: int) -> Run:
    """TRL at its defaults but for gradient checkpointing and bf16, both of which a CPU pays for with time.

    Trained a prompt at a time, as we do: all 32 answers at once took 13 GiB, and with long prompts more than 24.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    lengths: list[int] = []
    seconds: list[float] = []

    class Watch(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            self.began = time.perf_counter()

        def on_step_end(self, args, state, control, **_):
            seconds.append(time.perf_counter() - self.began)

    rng = random.Random(0)

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        lengths.extend(map(len, completion_ids))
        return [rng.random() for _ in completion_ids]

    torch.set_num_threads(threads)
    with TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=SAMPLES,
            gradient_accumulation_steps=PROMPTS,
            num_generations=SAMPLES,
            max_completion_length=NEW_TOKENS,
            max_steps=STEPS,
            beta=BETA,
            temperature=1.0,
            learning_rate=LEARNING_RATE,
            generation_kwargs={"min_new_tokens": NEW_TOKENS},
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
        )
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_list([{"prompt": text} for text in texts]),
            processing_class=AutoTokenizer.from_pretrained(model),
            callbacks=[Watch()],
        )
        trainer.train()
    return Run(seconds, sum(lengths), peak_memory())


def gflop(model: Path, length: int) -> float:
    """Products of a step: sampling and the reference once, the policy forward and backward; each prompt read once."""
    trunk, head = weights(model)
    answers, passes = PROMPTS * SAMPLES * NEW_TOKENS, 5
    return 2 * passes * (trunk * (answers + PROMPTS * length) + head * answers) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=LENGTHS)
    arguments = parser.parse_args()
    model = arguments.model or smollm2()
    tokenizer = AutoTokenizer.from_pretrained(model)
    for name, length in LENGTHS.items():
        if arguments.only not in (None, name):
            continue
        texts = prompts(tokenizer, length)
        pairs, rates = [], []
        for _ in range(arguments.rounds):
            rates.append(in_a_process(gemm, arguments.threads))
            pairs.append([in_a_process(run, model, texts, arguments.threads) for run in (ours, peer)])
        assert {run.tokens for pair in pairs for run in pair} == {STEPS * PROMPTS * SAMPLES * NEW_TOKENS}
        our_seconds, peer_seconds = (min(min(run.seconds) for run in runs) for runs in zip(*pairs, strict=True))
        our_peak, peer_peak = (min(run.peak for run in runs) for runs in zip(*pairs, strict=True))
        tell(name, our_seconds, "s", peer=peer_seconds, ratio=peer_seconds / our_seconds, as_json=arguments.json)
        memory = name.replace("_vs_trl", "_memory_vs_trl")
        tell(memory, our_peak, "GiB", peer=peer_peak, ratio=peer_peak / our_peak, as_json=arguments.json)
        share, reached, rate = name.replace("_vs_trl", "_share_of_gemm"), gflop(model, length) / our_seconds, max(rates)
        tell(share, reached, "GFLOP/s", peer=rate, ratio=reached / rate, as_json=arguments.json)


if __name__ == "__main__":
    main()
