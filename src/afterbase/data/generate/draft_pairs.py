"""Pairs of a better and a worse answer to open prompts, of two kinds whose lengths match.

`draft`: the separate generator's good draft, and one with a planted flaw. `sampled`: two of a checkpoint's own answers,
as in `data/generate/preferences.py`. The rubric plays the annotator of both; a pair that it does not tell apart is left
out. Pairs of training problems train reward models; those of held-out problems examine them.
"""

import itertools
import random
from collections.abc import Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.config import DraftPairs
from afterbase.data.generate.preferences import closest_pair
from afterbase.data.problems.problems import test_problems, train_problems
from afterbase.model.load import load
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.problem_replies import judged_replies, problem_requests, replies_to

VERSION = 5
Split = Literal["train", "test"]


def make_draft_pairs(
    store: Store, name: str, model: Artifact, problems: Artifact, split: Split, config: DraftPairs, *, seed: int
) -> Artifact:
    """pairs.parquet: rows {prompt, chosen, rejected, source} with source `draft` or `sampled`."""

    def make(work: Workspace) -> None:
        batch = train_problems(problems) if split == "train" else test_problems(problems)
        lm = load(model.payload)
        groups = [drafted(p, config.drafts, seed=seed) for p in batch]
        rows = pairs_of(batch, [[_counted(lm.tokenizer, text) for text in group] for group in groups], "draft")
        if config.samples:
            requests = problem_requests(
                batch,
                samples=config.samples,
                temperature=config.temperature,
                max_new_tokens=config.max_new_tokens,
                seed=seed,
            )
            finished = itertools.count(1)
            sampled = replies_to(
                EngineModel(lm, name=model.key),
                requests,
                on_finished=lambda: work.show(next(finished), len(requests)),
            )
            rows += pairs_of(batch, sampled, "sampled")
        if not rows:
            raise UserError(
                "pairs need prompts with both a passing and a failing answer",
                got=f"{len(batch)} prompts, none with both",
                remedy="raise `drafts`, `samples` or `temperature`",
            )
        counts = {source: sum(row["source"] == source for row in rows) for source in ("draft", "sampled")}
        work.log(1, 1, prompts=len(batch), **counts)
        pq.write_table(pa.Table.from_pylist(rows), work.payload / "pairs.parquet")

    asked = problems.manifest["what"][split]
    return store.produce(
        name,
        "draft_pairs",
        VERSION,
        what={**what(config), "split": split, "seed": seed},
        inputs={"model": model, "problems": problems},
        make=make,
        cost=Cost(generated=asked * config.samples * config.max_new_tokens, verified=asked * config.samples),
    )


def drafted(problem: Problem, count: int, *, seed: int) -> list[str]:
    """`count` good drafts and as many flawed ones."""
    domain, rng = DOMAINS[problem.domain], random.Random(f"{seed}/pairs/{problem.id}")
    good = [domain.good_response(problem, rng) for _ in range(count)]
    return good + [domain.flawed_response(problem, rng)[0] for _ in range(count)]


def pairs_of(problems: Sequence[Problem], groups: Sequence[Sequence[Reply]], source: str) -> list[dict[str, str]]:
    """At most one pair a problem, of the two answers that the rubric tells apart and whose lengths are closest."""
    verdicts = iter(judged_replies(problems, groups))
    rows = []
    for problem, group in zip(problems, groups, strict=True):
        row = closest_pair(problem, group, [next(verdicts) for _ in group])
        if row is not None:
            rows.append({**row, "source": source})
    return rows


def _counted(tokenizer, text: str) -> Reply:
    return Reply(text=text, tokens=len(tokenizer(text)["input_ids"]))
