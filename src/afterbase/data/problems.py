"""Problems of a domain, split in train and test: deduplicated, disjoint, and each gold accepted by its verifier."""

import dataclasses
import random
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, content_id, read_problems, write_problems
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.domains import DOMAINS, REVIEWED
from afterbase.data.open import reviewed_rows
from afterbase.verify.check import audit

VERSION = 1
_TRIES = 20  # random draws per distinct problem before a domain counts as exhausted


class Problems(Config):
    """How many problems of a domain."""

    train: int = Field(ge=1)
    test: int = Field(ge=1)


def make_problems(store: Store, domain: str, config: Problems, *, seed: int) -> Artifact:
    """train.parquet and test.parquet of one domain."""

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
    found: dict[str, Problem] = {}
    for _ in range(wanted * _TRIES):
        if len(found) == wanted:
            break
        problem = domain.problem(rng)
        if problem.prompt not in taken:
            found.setdefault(identity(problem), problem)
    if len(found) < wanted:
        raise UserError(
            "a domain must have as many distinct problems as the recipe asks for",
            got=f"{len(found)} distinct `{domain.NAME}` problems, {wanted} asked for",
            remedy=f"lower `train` and `test` of `{domain.NAME}`, or widen the domain",
        )
    problems = list(found.values())
    test, train = problems[: config.test], problems[config.test :]
    assert not {identity(p) for p in train} & {identity(p) for p in test}
    return train, test


def identity(problem: Problem) -> str:
    """What makes two problems the same: the program for code, which has many phrasings; the prompt elsewhere."""
    return problem.gold if problem.verifier == "python" and problem.gold else problem.prompt


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
    """How many training problems there are, or will be if the artifact is only planned."""
    return artifact.manifest["what"]["train"]


def train_problems(artifact: Artifact) -> list[Problem]:
    """The training split."""
    return read_problems(artifact.payload / "train.parquet")


def test_problems(artifact: Artifact) -> list[Problem]:
    """The held-out split."""
    return read_problems(artifact.payload / "test.parquet")
