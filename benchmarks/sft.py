"""Supervised fine-tuning of SmolLM2-135M-Instruct, ours against TRL's packed `SFTTrainer`: same samples, same loss.

    PYTHONPATH=src python benchmarks/sft.py [--json] [--model FOLDER] [--rounds 2] [--threads 2] [--rows 6]

`benchmarks/smollm2.py` makes the model's folder where none is named. The two take turns, each run in a process of its
own, whose peak memory is read at its end; each is given its fastest round and its smallest peak. Rates count real
tokens (no padding) over the time of optimizer steps, and leave out the first step, which warms up.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gemm import gemm, weights
from measures import in_a_process, peak_memory, tell
from smollm2 import smollm2
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

# afterbase, TRL and what they need are imported by the functions that use them: a library counts as memory.

ROW_TOKENS = 1024
LEARNING_RATE = 1e-5
LOSS_POSITIONS, LOSS_HIDDEN, LOSS_VOCABULARY = 4096, 576, 131_072

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Run:
    """Tokens and seconds of each optimizer step, and the process's peak memory in GiB."""

    tokens: list[int]
    seconds: list[float]
    peak: float

    @property
    def rate(self) -> float:
        """Tokens a second after the first step."""
        return sum(self.tokens[1:]) / sum(self.seconds[1:])


def conversations(tokenizer: Any, rows: int) -> list[tuple[Messages, list[int], list[bool]]]:
    """Messages, token ids and loss masks of samples that fill the rows: a few word problems each, and their solutions.

    Of more samples than are needed those of the fullest rows are kept, so that every step has the same work.
    """
    import reasoning_gym

    from afterbase.core.sample import conversation
    from afterbase.core.tokens import tokenize
    from afterbase.data.pack import best_fit_decreasing

    rng = random.Random(0)
    problems = iter(reasoning_gym.create_dataset("gsm_symbolic", seed=0, size=32 * rows))
    samples = []
    for _ in range(8 * rows):
        group = [next(problems) for _ in range(rng.randint(1, 4))]
        questions = "\n\n".join(p["question"].split(" Give the result")[0] for p in group)
        solutions = "\n\n".join(p["metadata"]["answer_cot"].replace("####", "The answer is") for p in group)
        messages = conversation(questions, solutions)
        tokens = tokenize(tokenizer, messages)
        if len(tokens.ids) <= ROW_TOKENS:
            samples.append((messages, tokens.ids, tokens.trained))
    lengths = [len(ids) for _, ids, _ in samples]
    packed = best_fit_decreasing(lengths, ROW_TOKENS)
    fullest = sorted(packed, key=lambda row: -sum(lengths[i] for i in row))[:rows]
    return [samples[i] for i in sorted(i for row in fullest for i in row)]


def ours(model: Path, samples: list[Messages], threads: int) -> Run:
    """The stage as a recipe runs it: an artifact of samples in, a model folder out."""
    from afterbase.core.sample import Sample, write_samples
    from afterbase.core.store import Store, Workspace
    from afterbase.data.base_model import import_base
    from afterbase.train.optimizer import Optimisation
    from afterbase.train.sft import Sft, train_sft

    def write(work: Workspace) -> None:
        rows = [Sample(messages=m, domain="d", kind="original", problem_id=None, producer={}) for m in samples]
        write_samples(work.payload / "samples.parquet", rows)

    torch.set_num_threads(threads)
    optimisation = Optimisation(learning_rate=LEARNING_RATE, floor=LEARNING_RATE)
    config = Sft(epochs=1, row_tokens=ROW_TOKENS, optimisation=optimisation)
    with TemporaryDirectory() as folder:
        store = Store(Path(folder), threads=threads)
        data = store.produce("samples", "samples", 1, what={}, inputs={}, make=write)
        steps = train_sft(store, "SFT", import_base(store, model), data, config, seed=0).metrics()
    return Run([s["tokens"] for s in steps], [s["tokens"] / s["tokens_per_second"] for s in steps], peak_memory())


def peer(model: Path, samples: list[tuple[list[int], list[bool]]], threads: int) -> Run:
    """TRL at its defaults but for gradient checkpointing and bf16, both of which a CPU pays for with time.

    Its packing is best-fit decreasing, into one row a step. Without flash attention the samples of a row are isolated
    all the same: transformers makes a mask of the position ids, and scores of the whole row are computed. The output
    layer is computed in tiles, for all positions, and once more in backward. The optimizer is PyTorch's fused AdamW.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    tokens, seconds = [], []

    class Watch(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            self.began = time.perf_counter()

        def on_step_end(self, args, state, control, **_):
            seconds.append(time.perf_counter() - self.began)
            tokens.append(state.num_input_tokens_seen - sum(tokens))

    torch.set_num_threads(threads)
    # Token ids and labels instead of text: TRL would train the line break after the stop token too.
    rows = [
        {"input_ids": ids, "labels": [i if bears else -100 for i, bears in zip(ids, trained, strict=True)]}
        for ids, trained in samples
    ]
    with TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        config = SFTConfig(
            output_dir=folder,
            max_length=ROW_TOKENS,
            packing=True,
            per_device_train_batch_size=1,
            num_train_epochs=1,
            learning_rate=LEARNING_RATE,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
            save_strategy="no",
            include_num_input_tokens_seen="all",
        )
        SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(model),
            callbacks=[Watch()],
        ).train()
    return Run(tokens, seconds, peak_memory())


def gflop_per_token(model: Path, trained_share: float) -> float:
    """6 N a token: forward 2 N, backward twice that.

    N counts the weights of linear layers; of embedding and output layer, which share theirs, only the product with
    the states that predict a trained token counts. Attention scores, norms and what is computed again are left out.
    """
    trunk, head = weights(model)
    return 6 * (trunk + trained_share * head) / 1e9


def our_loss(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    from afterbase.train.logprobs import token_logps

    return -token_logps(hidden, head, targets).mean()


def plain_loss(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(hidden, head), targets)


def loss_memory(loss: Callable[..., torch.Tensor], threads: int) -> float:
    """GiB that forward and backward of a loss add to the peak, gradients of states and output layer included."""
    torch.set_num_threads(threads)
    hidden = torch.randn(LOSS_POSITIONS, LOSS_HIDDEN, requires_grad=True)
    head = torch.randn(LOSS_VOCABULARY, LOSS_HIDDEN, requires_grad=True)
    targets = torch.randint(LOSS_VOCABULARY, (LOSS_POSITIONS,))
    loss(hidden[:1], head[:1], targets[:1] * 0)  # what is loaded at the first call is not the loss's
    before = peak_memory()
    loss(hidden, head, targets).backward()
    return peak_memory() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rows", type=int, default=6, help="packed rows, one a step; at least two")
    arguments = parser.parse_args()
    model, threads = arguments.model or smollm2(), arguments.threads
    messages, ids, trained = zip(*conversations(AutoTokenizer.from_pretrained(model), arguments.rows), strict=True)
    trained_share = sum(map(sum, trained)) / sum(map(len, trained))
    our_runs, peer_runs, gemms = [], [], []
    for _ in range(arguments.rounds):
        our_runs.append(in_a_process(ours, model, list(messages), threads))
        peer_runs.append(in_a_process(peer, model, list(zip(ids, trained, strict=True)), threads))
        gemms.append(in_a_process(gemm, threads))
    work = {(len(run.tokens), sum(run.tokens)) for run in (*our_runs, *peer_runs)}
    assert work == {(arguments.rows, sum(map(len, ids)))}, "steps and tokens of both"
    our_rate, peer_rate = (max(run.rate for run in runs) for runs in (our_runs, peer_runs))
    our_peak, peer_peak = (min(run.peak for run in runs) for runs in (our_runs, peer_runs))
    achieved = our_rate * gflop_per_token(model, trained_share)
    our_loss_peak, plain_loss_peak = (in_a_process(loss_memory, loss, threads) for loss in (our_loss, plain_loss))
    measures = [
        ("sft_vs_trl", our_rate, peer_rate, "tokens/s", our_rate / peer_rate),
        ("sft_memory_vs_trl", our_peak, peer_peak, "GiB", peer_peak / our_peak),
        ("sft_share_of_gemm", achieved, max(gemms), "GFLOP/s", achieved / max(gemms)),
        ("sft_128k_vocabulary_memory", our_loss_peak, plain_loss_peak, "GiB", plain_loss_peak / our_loss_peak),
    ]
    for name, our_value, peer_value, unit, ratio in measures:
        tell(name, our_value, unit, peer=peer_value, ratio=ratio, as_json=arguments.json)


if __name__ == "__main__":
    main()
