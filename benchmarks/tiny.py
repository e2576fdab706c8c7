"""The shipped `tiny-v3` in training and in sampling, beside transformers: the same weights, rows and lengths.

    PYTHONPATH=src python benchmarks/tiny.py [--json] [--rounds 5] [--threads 1] [--only NAME]

Rates are tokens a second of processor time (user and system, over the threads), which other users of the machine
disturb less than the clock. The two take turns in one process, which keeps freed memory for both, and each is given
its fastest round.

`tiny_sft`: steps on packed rows of 512 tokens with samples of three domains, the optimizer included. `tiny_rl`: a step
on answers of 40 to 140 tokens to two prompts, eight each; real tokens count, prompts once for each answer. The peer has
the fastest of its sensible ways: the samples of a row as one padded batch, or as a packed row by position ids, and the
answers to a prompt as one padded batch; the loop over experts; AdamW fused; no output layer for what bears no loss.
`tiny_sampling`: 24 prompts, 8 samples of 64 tokens each, against `generate`.
"""

import argparse
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from measures import tell
from torch.nn import functional as F
from transformers import PreTrainedModel

from afterbase.core.sample import conversation
from afterbase.core.tokens import Tokenized, prompt_ids, tokenize
from afterbase.data.domains import DOMAINS
from afterbase.data.pack import Pack, pack
from afterbase.model.folders import find
from afterbase.model.load import LanguageModel, load
from afterbase.model.saved import quiet_from_pretrained
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.train.config import Optimisation
from afterbase.train.grpo.prefix_packing import rows
from afterbase.train.logprobs import token_logps
from afterbase.train.memory import kept_memory
from afterbase.train.optimizer import adamw, update
from afterbase.train.sft import accumulate
from rollout import peer as generate

NAMES = ("tiny_sft_vs_transformers", "tiny_rl_vs_transformers", "tiny_sampling_vs_transformers")
ROW_TOKENS = 512
PROMPTS, SAMPLES, NEW_TOKENS = 24, 8, 64
SETTINGS = Optimisation(learning_rate=1e-5)


@dataclass(frozen=True)
class Work:
    """One optimizer step's samples: token ids, and whether each bears loss."""

    samples: list[tuple[list[int], list[bool]]]

    @property
    def tokens(self) -> int:
        return sum(len(ids) for ids, _ in self.samples)


def sft_rows(lm: LanguageModel, count: int) -> list[Work]:
    """Packed rows of teachers' and short answers to fresh problems."""
    rng = random.Random("benchmark")
    samples: list[Tokenized] = []
    for name in ("arithmetic", "logic", "code"):
        domain = DOMAINS[name]
        for _ in range(8 * count):
            problem = domain.problem(rng)
            with_thought = conversation(problem.prompt, domain.teacher_response(problem, rng))
            short = conversation(problem.prompt, domain.original_response(problem, rng))
            samples += [tokenize(lm.tokenizer, messages) for messages in (with_thought, short)]
    packed = pack([s for s in samples if len(s.ids) <= ROW_TOKENS], ROW_TOKENS, seed=0)
    works = []
    for row in [row for row in packed if len(row.ids) > 0.98 * ROW_TOKENS][:count]:
        ends = torch.tensor(row.lengths).cumsum(0).tolist()
        spans = [slice(end - length, end) for end, length in zip(ends, row.lengths, strict=True)]
        works.append(Work([(row.ids[span], row.trained[span]) for span in spans]))
    return works


def rl_rows(lm: LanguageModel, prompts: int) -> tuple[list[list[int]], list[list[int]]]:
    """A prompt and an answer for each of eight samples of each problem; the answers are random tokens."""
    rng = random.Random("benchmark")
    asked, answers = [], []
    for index in range(prompts):
        problem = DOMAINS[("arithmetic", "logic", "code")[index % 3]].problem(rng)
        ids = prompt_ids(lm.tokenizer, problem.messages)
        for _ in range(SAMPLES):
            asked.append(ids)
            answers.append([rng.randrange(3, len(lm.tokenizer)) for _ in range(rng.randint(40, 140))])
    return asked, answers


def our_sft(lm: LanguageModel, works: list[Work]) -> Callable[[], None]:
    """The step of the stage `sft`: its losses, gradients and update."""
    packs = [
        Pack(
            [token for ids, _ in work.samples for token in ids],
            [bears for _, trained in work.samples for bears in trained],
            [len(ids) for ids, _ in work.samples],
            list(range(len(work.samples))),
        )
        for work in works
    ]
    optimizer = adamw(lm.modules(), SETTINGS)

    def run() -> None:
        for row in packs:
            accumulate(lm, [row], 0.0)
            update(optimizer, 1e-5, SETTINGS)

    return run


def our_rl(lm: LanguageModel, asked: list[list[int]], answers: list[list[int]]) -> Callable[[], None]:
    """The rows, log-probabilities and update of GRPO, with a loss as simple as the peer's."""
    optimizer = adamw(lm.model, SETTINGS)
    count = sum(map(len, answers))

    def run() -> None:
        for row in rows(asked, answers, 4096):
            states = lm.hidden(row.ids_T, row.segments).index_select(0, row.predictors_N)
            (-token_logps(states, lm.head, row.targets_N).sum() / count).backward()
        update(optimizer, 1e-5, SETTINGS)

    return run


def peer_optimizer(model: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=1e-5, betas=SETTINGS.betas, weight_decay=0.0, fused=True)


def backward(model: Any, samples: list[tuple[list[int], list[bool]]], *, count: int, packed: bool) -> None:
    """Gradients of the loss over `count` tokens, of samples as a padded batch or as a packed row."""
    if packed:
        ids = torch.tensor([[token for ids, _ in samples for token in ids]])
        trained = torch.tensor([[bears for _, trained in samples for bears in trained]])
        positions = torch.cat([torch.arange(len(ids)) for ids, _ in samples])[None]
        hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
    else:
        width = max(len(ids) for ids, _ in samples)
        ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in samples])
        trained = torch.tensor([trained + [False] * (width - len(trained)) for _, trained in samples])
        # Padding stands on the right, where no sample's own tokens see it: no mask, and so the fastest kernel.
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    targets = trained.flatten().nonzero()[:, 0]
    logits = model.lm_head(hidden.flatten(0, 1).index_select(0, targets - 1))
    (F.cross_entropy(logits, ids.flatten()[targets], reduction="sum") / count).backward()


def step(model: Any, optimizer: torch.optim.AdamW) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def peers(model: Any, works: list[Work]) -> dict[str, Callable[[], None]]:
    """The peer's two ways with packed rows, a step each."""
    optimizer = peer_optimizer(model)

    def run(packed: bool) -> None:
        for work in works:
            backward(model, work.samples, count=sum(sum(trained) for _, trained in work.samples), packed=packed)
            step(model, optimizer)

    return {"padded": lambda: run(False), "packed": lambda: run(True)}


def fastest(runs: Mapping[str, Callable[[], object]], rounds: int, threads: int) -> dict[str, float]:
    """Seconds of processor time of each run's fastest round, after one that is not counted."""
    best = dict.fromkeys(runs, float("inf"))
    for index in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            spent = (time.process_time() - start) / threads
            if index:
                best[name] = min(best[name], spent)
    return best


def plain_model() -> PreTrainedModel:
    """tiny-v3 as transformers loads it, with its fastest experts on a CPU."""
    model, _ = quiet_from_pretrained(find("tiny-v3"), dtype=torch.float32, attn_implementation="sdpa")
    model.set_experts_implementation("eager")
    return model.eval()


def compare(name: str, tokens: int, seconds: dict[str, float], *, as_json: bool) -> None:
    """Ours against the faster of the others."""
    ours, theirs = tokens / seconds["ours"], tokens / min(s for key, s in seconds.items() if key != "ours")
    tell(name, ours, "tokens/s", peer=theirs, ratio=ours / theirs, as_json=as_json)


def training(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    lm, model = load(find("tiny-v3")), plain_model()
    if "tiny_sft_vs_transformers" in names:
        works = sft_rows(lm, 3)
        runs = {"ours": our_sft(lm, works), **peers(model, works)}
        seconds = fastest(runs, arguments.rounds, arguments.threads)
        compare("tiny_sft_vs_transformers", sum(work.tokens for work in works), seconds, as_json=arguments.json)
    if "tiny_rl_vs_transformers" in names:
        asked, answers = rl_rows(lm, 2)
        samples = [
            (prompt + answer, [False] * len(prompt) + [True] * len(answer))
            for prompt, answer in zip(asked, answers, strict=True)
        ]
        optimizer = peer_optimizer(model)

        def padded() -> None:
            for start in range(0, len(samples), SAMPLES):
                backward(model, samples[start : start + SAMPLES], count=sum(map(len, answers)), packed=False)
            step(model, optimizer)

        seconds = fastest({"ours": our_rl(lm, asked, answers), "padded": padded}, arguments.rounds, arguments.threads)
        tokens = sum(len(ids) for ids, _ in samples)
        compare("tiny_rl_vs_transformers", tokens, seconds, as_json=arguments.json)


def sampling(arguments: argparse.Namespace) -> None:
    lm, model = load(find("tiny-v3")), plain_model()
    asked, _ = rl_rows(lm, PROMPTS)
    prompts = asked[::SAMPLES]
    engine = LocalEngine(lm.model)
    settings = Sampling(temperature=1.0, max_new_tokens=NEW_TOKENS, stop_token_ids=(), seed=0)
    runs = {
        "ours": lambda: engine.generate(prompts, samples=SAMPLES, sampling=settings),
        "generate": lambda: generate(model, prompts, None, NEW_TOKENS),
    }
    seconds = fastest(runs, arguments.rounds, arguments.threads)
    compare("tiny_sampling_vs_transformers", PROMPTS * SAMPLES * NEW_TOKENS, seconds, as_json=arguments.json)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=NAMES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names: Sequence[str] = [arguments.only] if arguments.only else NAMES
    with kept_memory():
        training(arguments, names)
        if "tiny_sampling_vs_transformers" in names:
            sampling(arguments)


if __name__ == "__main__":
    main()
