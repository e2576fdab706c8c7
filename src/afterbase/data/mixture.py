"""What a mixture is of: caps and shares of its domains, how often a row may be used, and the seed that chooses rows.

`Mixture` is the SFT set of a recipe, the stage `mix`: curated sets in one seeded order, exact repeats and long answers
dropped, each domain up to its cap. `Shares` is the last step of cleaning (`clean/clean.py`). Without shares each domain
gives all it may. With shares, the mixture is as large as it can be with every share met; the domain that runs out first
sets its size. Which rows: those of the smallest hash of id and seed, so that the choice depends on nothing else. Rows
used more than once come as often as said.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, content_id, read_samples, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.clean.shingles import Hashes, hash_integers

VERSION = 1


class Mixture(Config):
    """Limits of the SFT set."""

    most_per_domain: int | None = Field(default=None, ge=1)
    """Samples of a domain at most, drawn by chance; none: all."""
    longest: int = Field(default=20_000, ge=1)
    """Characters of a response at most."""


class Domain(Config):
    """What one domain gives."""

    share: float | None = Field(default=None, gt=0)
    """Of the mixture; shares are relative to their sum."""
    most: int | None = Field(default=None, ge=1)
    """Rows at most."""
    epochs: float = Field(default=1.0, gt=0, le=16)
    """How often each row may be used."""


class Shares(Config):
    """The mixture of domains."""

    rows: int | None = Field(default=None, ge=1)
    """Rows of the mixture at most."""
    domains: dict[str, Domain] = Field(default_factory=dict)
    """Those that are not named give all their rows once, if no shares are given."""

    @model_validator(mode="after")
    def _all_or_none(self) -> "Shares":
        without = [name for name, domain in self.domains.items() if domain.share is None]
        if without and len(without) < len(self.domains):
            raise UserError(
                "either every domain has a share, or none",
                got=f"no share of {', '.join(without)}",
                remedy="add `share` there, or take the others out",
            )
        return self


def mix(store: Store, name: str, sets: Sequence[Artifact], config: Mixture, *, seed: int) -> Artifact:
    """samples.parquet of all sets in one seeded order; rows dropped earlier or here stay, marked.

    >>> mixed = mix(store, "SFT set", [drafts, reviewed], Mixture(most_per_domain=8, longest=1000), seed=0)
    >>> sum(sample.dropped is None for sample in read_samples(mixed.payload / "samples.parquet"))
    16
    """

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
            elif config.most_per_domain is not None and counts[sample.domain] >= config.most_per_domain:
                sample = sample.drop("mix", "domain is full", counts[sample.domain])
            else:
                seen.add(text)
                counts[sample.domain] += 1
        out.append(sample)
    return out


@dataclass(frozen=True)
class Drawn:
    """What a domain gives: rows there are, rows used (a row twice counts twice), its target share if it has one."""

    domain: str
    there: int
    used: int
    target: float | None

    @property
    def epochs(self) -> float:
        return self.used / self.there if self.there else 0.0


def draw(there: Mapping[str, int], shares: Shares) -> list[Drawn]:
    """What each domain gives, by name. UserError where a domain with a share has no rows, or one with rows no share."""
    named = {name: shares.domains.get(name, Domain()) for name in sorted({*there, *shares.domains})}
    given = {name: domain.share for name, domain in named.items() if domain.share is not None}
    for name in sorted({*named} - {*given}) if given else ():
        raise UserError(
            "where domains have shares, each has one",
            got=f"{there[name]} rows of `{name}`, without a share",
            remedy=f"add {name} = {{ share = ... }}, or leave its rows out",
        )
    for name in shares.domains:
        if not there.get(name):
            raise UserError(
                "a domain of the mixture has rows",
                got=f"none of `{name}`; there is {', '.join(sorted(there)) or 'nothing'}",
                remedy="take it out, or see what dropped its rows",
            )
    available = {name: _available(there[name], domain) for name, domain in named.items()}
    total = sum(given.values())
    targets = {name: share / total for name, share in given.items()}
    if given:
        size = min(available[name] / target for name, target in targets.items())
        size = min(size, shares.rows or math.inf)
        used = {name: int(size * target + 1e-9) for name, target in targets.items()}
    else:
        used = available
        if shares.rows is not None and sum(available.values()) > shares.rows:
            used = {name: rows * shares.rows // sum(available.values()) for name, rows in available.items()}
    return [Drawn(name, there[name], used[name], targets.get(name)) for name in named]


def _available(there: int, domain: Domain) -> int:
    return min(int(there * domain.epochs + 1e-9), domain.most or there * 16)


def uses(ids: Hashes, domains: npt.NDArray[np.int64], drawn: Sequence[Drawn], *, seed: int) -> npt.NDArray[np.int64]:
    """How often each row is used; `domains` are indices into `drawn`."""
    salt = np.frombuffer(hashlib.sha256(f"mixture {seed}".encode()).digest()[:8], "<u8")
    order = np.argsort(hash_integers(ids ^ salt), kind="stable")
    times = np.zeros(len(ids), np.int64)
    for number, domain in enumerate(drawn):
        mine = order[domains[order] == number]
        if len(mine):
            whole, rest = divmod(domain.used, len(mine))
            times[mine] = whole
            times[mine[:rest]] += 1
    return times


def preview(drawn: Sequence[Drawn]) -> str:
    """The mixture as a Markdown table."""
    total = sum(d.used for d in drawn)
    lines = ["| domain | rows | used | epochs | share | target |", "|---|---:|---:|---:|---:|---:|"]
    for d in drawn:
        target = "" if d.target is None else f"{d.target:.1%}"
        lines.append(
            f"| {d.domain} | {d.there:,} | {d.used:,} | {d.epochs:.2f} | {d.used / max(total, 1):.1%} | {target} |"
        )
    return "\n".join(lines)
