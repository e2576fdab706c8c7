"""Preference pairs of several open domains as one set, and those that a review makes.

Of an open domain of the user's own no rule tells a better answer from a worse one. What does are reviewers, who edit a
draft or take one of a prompt's drafts and refuse another, and the user's own pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, read_problems, read_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.generate.preferences import edit_pairs
from afterbase.data.own.own_sets import PAIR_SCHEMA

VERSION = 1
_SCHEMA = PAIR_SCHEMA.append(pa.field("domain", pa.string()))


def make_review_pairs(store: Store, domain: str, reviewed: Artifact) -> Artifact:
    """pairs.parquet of one domain's review, which may hold none; source is `edit` or `review`."""

    def make(work: Workspace) -> None:
        samples = read_samples(reviewed.payload / "samples.parquet")
        rows: list[dict[str, Any]] = [*edit_pairs(samples), *chosen_pairs(samples)]
        work.log(1, 1, pairs=len(rows))
        pq.write_table(pa.Table.from_pylist(rows, PAIR_SCHEMA), work.payload / "pairs.parquet")

    inputs = {"reviewed": reviewed}
    return store.produce(f"{domain} review pairs", "review_pairs", VERSION, what={}, inputs=inputs, make=make)


def chosen_pairs(reviewed: Sequence[Sample]) -> list[dict[str, str]]:
    """A pair for each prompt of which people took a draft and rejected another: the two of the closest lengths."""
    of_prompt: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for sample in reviewed:
        rejected = sample.dropped is not None and sample.dropped.stage == "review" and sample.dropped.rule != "edited"
        people = any(verdict.verifier.startswith("review:") for verdict in sample.verdicts)
        if people and (rejected or sample.dropped is None):
            of_prompt[sample.messages[-2]["content"]][rejected].append(sample.response)
    rows = []
    for prompt, (taken, rejected) in of_prompt.items():
        pairs = [(abs(len(a) - len(b)), i, j) for i, a in enumerate(taken) for j, b in enumerate(rejected) if a != b]
        if pairs:
            _, i, j = min(pairs)
            rows.append({"prompt": prompt, "chosen": taken[i], "rejected": rejected[j], "source": "review"})
    return rows


def join_pairs(store: Store, sets: Mapping[str, Artifact], problems: Mapping[str, Artifact]) -> Artifact:
    """pairs.parquet of all sets, each pair once, with the `domain` whose prompt it answers, else its set's name.

    Raises UserError where they are of fewer than two prompts: a model learns from some, and is examined on others.
    """

    def make(work: Workspace) -> None:
        known = {
            problem.prompt: domain
            for domain, artifact in problems.items()
            for problem in read_problems(artifact.payload / "train.parquet")
        }
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for name, artifact in sets.items():
            for row in pq.read_table(artifact.payload / "pairs.parquet").to_pylist():
                domain = known.get(row["prompt"], name)
                rows.setdefault((row["prompt"], row["chosen"], row["rejected"]), {**row, "domain": domain})
        counts = Counter(row["domain"] for row in rows.values())
        prompts = len({row["prompt"] for row in rows.values()})
        if prompts < 2:
            raise UserError(
                "learning from preferences needs pairs of at least two prompts",
                got=f"{len(rows)} pairs over {prompts} prompts, of the sets {', '.join(sets)}",
                remedy="add pairs of your own (`preferences.path`), let people review more drafts, several of a "
                "prompt, or, where a rule judges sampled answers, raise `preferences.temperature`, "
                "`preferences.samples` or the domain's `train`",
            )
        work.log(1, 1, pairs=len(rows), prompts=prompts, **{f"of/{name}": n for name, n in sorted(counts.items())})
        pq.write_table(pa.Table.from_pylist(list(rows.values()), _SCHEMA), work.payload / "pairs.parquet")

    inputs = {f"pairs_{name}": artifact for name, artifact in sets.items()}
    inputs |= {f"problems_{name}": artifact for name, artifact in problems.items()}
    return store.produce("all preference pairs", "joined_pairs", VERSION, what={}, inputs=inputs, make=make)
