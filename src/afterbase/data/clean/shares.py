"""How many rows of each domain go into a mixture: target shares, caps, and how often a row may be used.

Without shares each domain gives all it may. With shares, the mixture is as large as it can be with every share met; the
domain that runs out first sets its size. Which rows: those of the smallest hash of id and seed, so that the choice
depends on nothing else. Rows used more than once come as often as said.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from afterbase.core.config import Config
from afterbase.core.errors import UserError
from afterbase.data.clean.shingles import Hashes, mix


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
    room = {name: _room(there[name], domain) for name, domain in named.items()}
    total = sum(given.values())
    targets = {name: share / total for name, share in given.items()}
    if given:
        size = min(room[name] / target for name, target in targets.items())
        size = min(size, shares.rows or math.inf)
        used = {name: int(size * target + 1e-9) for name, target in targets.items()}
    else:
        used = room
        if shares.rows is not None and sum(room.values()) > shares.rows:
            used = {name: rows * shares.rows // sum(room.values()) for name, rows in room.items()}
    return [Drawn(name, there[name], used[name], targets.get(name)) for name in named]


def _room(there: int, domain: Domain) -> int:
    return min(int(there * domain.epochs + 1e-9), domain.most or there * 16)


def uses(ids: Hashes, domains: npt.NDArray[np.int64], drawn: Sequence[Drawn], *, seed: int) -> npt.NDArray[np.int64]:
    """How often each row is used; `domains` are indices into `drawn`."""
    salt = np.frombuffer(hashlib.sha256(f"mixture {seed}".encode()).digest()[:8], "<u8")
    order = np.argsort(mix(ids ^ salt), kind="stable")
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
