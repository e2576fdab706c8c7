"""Clean and mix: the curated sets of all domains become one SFT set, every dropped row with its reason.

Covers exact duplicates, length, and a cap per domain. Near duplicates, decontamination against named benchmarks,
filters and target shares are `clean.py`'s, before this (train and test problems are disjoint by construction).
"""

import random
from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, content_id, read_samples, write_samples
from afterbase.core.store import Artifact, Store, Workspace

VERSION = 1


class Mixture(Config):
    """Limits of the SFT set."""

    most_per_domain: int = Field(ge=1)
    longest: int = Field(ge=1)
    """Characters of a response."""


def mix(store: Store, name: str, sets: Sequence[Artifact], config: Mixture, *, seed: int) -> Artifact:
    """samples.parquet of all sets in one seeded order; rows dropped earlier or here stay, marked."""

    def make(work: Workspace) -> None:
        samples = [s for a in sets for s in read_samples(a.payload / "samples.parquet")]
        mixed = clean_and_mix(samples, config, seed=seed)
        kept = sum(s.dropped is None for s in mixed)
        if not kept:
            rules = Counter(s.dropped.rule for s in mixed if s.dropped is not None).most_common(3)
            raise UserError(
                "the SFT set needs at least one sample",
                got=f"{len(mixed)} samples, all dropped: {', '.join(f'{rule} ({n})' for rule, n in rules)}",
                remedy="train the experts longer, sample more answers a problem, or raise the limits of [mixture]",
            )
        work.log(1, 1, samples=len(mixed), kept=kept)
        write_samples(work.payload / "samples.parquet", mixed)

    inputs = {f"set_{i}": a for i, a in enumerate(sets)}
    return store.produce(name, "mix", VERSION, what={**what(config), "seed": seed}, inputs=inputs, make=make)


def clean_and_mix(samples: Sequence[Sample], config: Mixture, *, seed: int) -> list[Sample]:
    """All samples in a seeded order, those that break a rule marked as dropped; the first of equals is kept."""
    order = list(samples)
    random.Random(seed).shuffle(order)
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    out = []
    for sample in order:
        if sample.dropped is None:
            text = content_id(list(sample.messages))
            if text in seen:
                sample = sample.drop("mix", "duplicate")
            elif len(sample.response) > config.longest:
                sample = sample.drop("mix", "too long", len(sample.response))
            elif counts[sample.domain] >= config.most_per_domain:
                sample = sample.drop("mix", "domain is full", counts[sample.domain])
            else:
                seen.add(text)
                counts[sample.domain] += 1
        out.append(sample)
    return out
