"""Problems of a domain, split in train and test: deduplicated, and each gold accepted by its verifier.

Test problems are of the share that is kept for tests (`held_out.py`), which neither training problems nor the text of
the shipped base draw from.
"""

import dataclasses
import random
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, content_id, read_problems, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import DOMAINS, REVIEWED
from afterbase.data.generate.open_domains import reviewed_rows
from afterbase.data.problems.test_share import for_tests
from afterbase.verify.check import audit

VERSION = 3
_TRIES = 40  # random draws per distinct problem before a domain counts as exhausted


class Problems(Config):
    """How many problems of a domain."""

    train: int = Field(default=250, ge=1)
    """Training problems."""
    test: int = Field(default=48, ge=1)
    """Held-out problems."""


def make_problems(store: Store, domain: str, config: Problems, *, seed: int) -> Artifact:
    """train.parquet and test.parquet of one domain.

    >>> problems = make_problems(store, "arithmetic", Problems(train=8, test=2), seed=0)
    >>> len(train_problems(problems)), len(test_problems(problems))
    (8, 2)
    """

    taken = {row["prompt"] for row in reviewed_rows(domain)} if domain in REVIEWED else set()

    def make(work: Workspace) -> None:
        train, test = split_problems(DOMAINS[domain], config, seed, taken=taken)
        refuse_rejected_golds([*train, *test])
        write_problems(work.payload / "train.parquet", train)
        write_problems(work.payload / "test.parquet", test)

    settings = {**what(config), "domain": domain, "seed": seed, "taken": content_id(sorted(taken))}
    made = store.produce(f"{domain} problems", "problems", VERSION, what=settings, inputs={}, make=make)
    # What is asked for is known before anything is made: the cost of later stages depends on it.
    return dataclasses.replace(made, manifest={"what": settings}) if made.planned else made


def split_problems(
    domain: Any, config: Problems, seed: int, *, taken: Collection[str] = ()
) -> tuple[list[Problem], list[Problem]]:
    """Disjoint train and test problems of a domain module, none with a prompt in `taken`.

    UserError where the domain has too few distinct ones.
    """
    rng = random.Random(f"{seed}/{domain.NAME}")
    wanted = config.train + config.test
    train: dict[str, Problem] = {}
    test: dict[str, Problem] = {}
    for _ in range(wanted * _TRIES):
        if (len(train), len(test)) == (config.train, config.test):
            break
        problem = domain.problem(rng)
        if problem.prompt in taken:
            continue
        split, wanted = (test, config.test) if for_tests(domain.identity(problem)) else (train, config.train)
        if len(split) < wanted:
            split.setdefault(problem.prompt, problem)
    if len(train) < config.train or len(test) < config.test:
        raise UserError(
            "a domain must have as many distinct problems as the recipe asks for",
            got=f"{len(train)} distinct `{domain.NAME}` problems for training, {len(test)} for tests, "
            f"{config.train} and {config.test} asked for",
            remedy=f"lower `train` and `test` of `{domain.NAME}`, or widen the domain",
        )
    assert not {domain.identity(p) for p in train.values()} & {domain.identity(p) for p in test.values()}
    return list(train.values()), list(test.values())


def refuse_rejected_golds(problems: Sequence[Problem]) -> None:
    """UserError where a verifier does not accept its own gold: every reward of that domain would be wrong."""
    rejected = audit(problems)
    if rejected:
        problem, verdict = rejected[0]
        raise UserError(
            "every verifier must accept its own gold answer",
            got=f"{len(rejected)} of {len(problems)} rejected; the first, of `{problem.domain}`: "
            f"{verdict.status} ({verdict.reason}) for `{problem.gold}` on `{problem.prompt[:200]}`",
            remedy=f"mend the verifier `{problem.verifier}` or the gold answers of `{problem.domain}`",
        )


def train_count(artifact: Artifact) -> int:
    """How many training problems there are, or will be at most if the artifact is only planned."""
    if artifact.planned:
        return artifact.manifest["what"]["train"]
    return pq.read_metadata(artifact.payload / "train.parquet").num_rows


def test_count(artifact: Artifact) -> int:
    """How many held-out problems there are, or will be if the artifact is only planned."""
    if artifact.planned:
        return artifact.manifest["what"]["test"]
    return pq.read_metadata(artifact.payload / "test.parquet").num_rows


def train_problems(artifact: Artifact) -> list[Problem]:
    """The training split."""
    return read_problems(artifact.payload / "train.parquet")


def test_problems(artifact: Artifact) -> list[Problem]:
    """The held-out split."""
    return read_problems(artifact.payload / "test.parquet")
