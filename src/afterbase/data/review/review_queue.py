"""Which drafts people see, in which order, and which of them twice.

The draw is systematic within strata: each stratum's drafts lie at even distances on a line, with a seeded start, and
the line is read from left to right. Every beginning of it then holds each stratum in proportion, give or take one, so
a larger share contains a smaller one, and work that stops early still stands for the whole.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from afterbase.core.sample import Sample, Status
from afterbase.data.review.review_policy import Review

LONGEST = 200_000
"""Characters of a conversation beyond which nobody can be asked to read it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A draft's place in the queue."""

    sample: Sample
    twice: bool


def readable(sample: Sample) -> bool:
    """Whether people can be asked to review the sample."""
    return sample.dropped is None and sum(len(message["content"]) for message in sample.messages) <= LONGEST


def queue(samples: Sequence[Sample], policy: Review) -> list[Place]:
    """The drafts that the policy wants reviewed, in the order of reviewing; equal drafts are one."""
    pool = {sample.id: sample for sample in samples if readable(sample)}
    strata = _strata(list(pool.values()))
    chosen = stratified(strata, seed=policy.seed)[: policy.reviewed_of(len(pool))]
    # A draw of its own: the drafts of two reviewers are a sample of all that are reviewed, and not the first ones.
    among = {key: strata[key] for key in chosen}
    twice = set(stratified(among, seed=policy.seed + 1)[: policy.twice_of(len(chosen))])
    if policy.order == "uncertain":
        chosen.sort(key=lambda key: -uncertainty(pool[key]))
    return [Place(sample=pool[key], twice=key in twice) for key in chosen]


def stratified(strata: dict[str, str], *, seed: int) -> list[str]:
    """Keys (each with its stratum) in an order whose every beginning holds the strata in proportion."""
    members: dict[str, list[str]] = defaultdict(list)
    for key in sorted(strata):
        members[strata[key]].append(key)
    places = []
    for stratum, keys in sorted(members.items()):
        rng = random.Random(f"{seed}/{stratum}")
        rng.shuffle(keys)
        start = rng.random()
        places += [((i + start) / len(keys), key) for i, key in enumerate(keys)]
    return [key for _, key in sorted(places)]


def uncertainty(sample: Sample) -> float:
    """1 where the sample's verifiers leave it open, 0 where they are sure; without any, open.

    Mean value v of the verdicts that are about the answer: 1 - |2v - 1|.
    """
    values = [verdict.value for verdict in sample.verdicts if verdict.status is not Status.FAILED]
    return 1 - abs(2 * sum(values) / len(values) - 1) if values else 1.0


def _strata(samples: Sequence[Sample]) -> dict[str, str]:
    """By id: who wrote the sample, what kind of prompt it answers, and the third of lengths that it belongs to."""
    lengths = sorted(len(sample.response) for sample in samples)
    bounds = [lengths[len(lengths) * i // 3] for i in (1, 2)] if lengths else []
    return {
        s.id: "/".join(
            [str(s.producer.get("name")), str(s.extra.get("kind")), str(sum(len(s.response) >= b for b in bounds))]
        )
        for s in samples
    }


def fingerprint(places: Sequence[Place]) -> str:
    """A word for what is asked of reviewers: the same drafts in the same order have the same one."""
    text = "".join(f"{place.sample.id}{'2' if place.twice else '1'}" for place in places)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
