"""Speculative decoding with the multi-token prediction module against our own plain decoding: the same tokens, faster.

    PYTHONPATH=src python benchmarks/speculative.py [--json] [--rounds 5] [--threads 1] [--deep FOLDER]

The shipped tiny-v3, a base model, continues the first 24 tokens of fresh documents of its own domains at temperature 1.
`--deep` adds another model folder, such as the one whose path `afterbase run recipes/tiny-12.toml` ends with. Both ways
run in this process, in turn, and each is given its fastest round. `unit` is sampled tokens a second; acceptance is the
share of drafts that brought a token. Answers may differ where a draw falls within rounding of a boundary: counted.
"""

import argparse
import random
import time
from pathlib import Path

import torch
from measures import tell

from afterbase.data.domains import DOMAINS
from afterbase.model.folders import find
from afterbase.model.load import LanguageModel, load
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.local_engine import LocalEngine

PROMPT_TOKENS, NEW_TOKENS = 24, 96
DOCUMENTS = {1: 2, 8: 8}  # of each domain, by the number of rows at once
SAMPLING = Sampling(temperature=1.0, max_new_tokens=NEW_TOKENS, stop_token_ids=(), seed=0)


def beginnings(lm: LanguageModel, documents: int) -> list[list[int]]:
    """The first tokens of fresh documents, long enough ones, of every domain."""
    rng, prompts = random.Random("benchmark"), []
    for domain in DOMAINS.values():
        of_domain: list[list[int]] = []
        while len(of_domain) < documents:
            ids = [lm.tokenizer.bos_token_id, *lm.tokenizer(domain.pretraining_text(rng))["input_ids"]]
            if len(ids) >= PROMPT_TOKENS:
                of_domain.append(ids[:PROMPT_TOKENS])
        prompts += of_domain
    return prompts


def run(engine: LocalEngine, prompts: list[list[int]]) -> tuple[float, list[list[int]]]:
    """Seconds, and the tokens."""
    start = time.perf_counter()
    groups = engine.generate(prompts, samples=1, sampling=SAMPLING)
    return time.perf_counter() - start, [group[0].token_ids for group in groups]


def measure(name: str, lm: LanguageModel, *, rows: int, rounds: int, as_json: bool) -> None:
    prompts = beginnings(lm, DOCUMENTS[rows])
    engines = [LocalEngine(lm.model, max_rows=rows, draft=draft) for draft in (lm.mtp, None)]
    (_, ours), (_, plain) = (run(engine, prompts) for engine in engines)  # warm both
    times = [[run(engine, prompts)[0] for engine in engines] for _ in range(rounds)]
    our_rate, plain_rate = (len(prompts) * NEW_TOKENS / min(of_one) for of_one in zip(*times, strict=True))
    report = engines[0].speculation
    assert report is not None
    tell(name, our_rate, "tokens/s", peer=plain_rate, ratio=our_rate / plain_rate, as_json=as_json)
    acceptance = report.accepted / max(1, report.drafted)
    tell(f"{name}_acceptance", acceptance, "share of drafts", as_json=as_json)
    drafting = report.steps / (report.steps + report.plain_steps)
    tell(f"{name}_drafting", drafting, "share of steps", as_json=as_json)
    other = sum(a != b for a, b in zip(ours, plain, strict=True)) / len(prompts)
    tell(f"{name}_other_answers", other, "share of answers", as_json=as_json)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--deep", type=Path, help="a model folder with a multi-token prediction module")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    models = {"": find("tiny-v3")} | ({"_deep": arguments.deep} if arguments.deep else {})
    for suffix, folder in models.items():
        lm = load(folder)
        for rows in DOCUMENTS:
            name = f"speculative_vs_plain{suffix}_batch_{rows}"
            measure(name, lm, rows=rows, rounds=arguments.rounds, as_json=arguments.json)


if __name__ == "__main__":
    main()
