"""Rejection sampling with the expert as generator (V3 report section 5.1): accurate as R1, concise and effective.

Several answers a problem, verified. Kept: right, ended, well formed, and among those the shortest. The report gives no
thresholds; how many are sampled and kept is the recipe's choice. Every row stays, with the rule that dropped it.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from afterbase.core.config import Config, what
from afterbase.core.sample import Problem, Sample, Status, Verdict, conversation, write_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.domains import style
from afterbase.data.problems import train_count, train_problems
from afterbase.model.load import load
from afterbase.rollout.producer import ModelProducer, Response
from afterbase.verify.check import check_many
from afterbase.verify.format import well_formed

VERSION = 1


class Rejection(Config):
    """How answers are sampled and how many survive."""

    samples: int = Field(ge=1)
    keep: int = Field(default=1, ge=1)
    """Most answers kept of a problem: its shortest right ones."""
    temperature: float = Field(gt=0)
    max_new_tokens: int = Field(ge=1)


def curate(
    store: Store, domain: str, expert: Artifact, problems: Artifact, config: Rejection, *, seed: int
) -> Artifact:
    """samples.parquet: every sampled answer, kept or dropped."""

    def make(work: Workspace) -> None:
        batch = train_problems(problems)
        producer = ModelProducer(load(expert.payload), expert.key, config.temperature, config.max_new_tokens)
        finished = itertools.count(1)
        groups = producer.respond(
            batch,
            system=None,
            samples=config.samples,
            seed=seed,
            on_finished=lambda: work.show(next(finished), len(batch) * config.samples),
        )
        verdicts = iter(check_many([(p, r.text) for p, group in zip(batch, groups, strict=True) for r in group]))
        samples = []
        for problem, group in zip(batch, groups, strict=True):
            samples += decide(problem, group, [next(verdicts) for _ in group], producer.describe(), keep=config.keep)
        kept = [s for s in samples if s.dropped is None]
        work.log(
            1,
            1,
            sampled=len(samples),
            kept=len(kept),
            solved=round(len({s.problem_id for s in kept}) / len(batch), 4),
            failed=sum(v.status is Status.FAILED for s in samples for v in s.verdicts),
        )
        write_samples(work.payload / "samples.parquet", samples)

    answers = train_count(problems) * config.samples
    return store.produce(
        f"{domain} rejection sampling",
        "curate",
        VERSION,
        what={**what(config), "domain": domain, "seed": seed},
        inputs={"expert": expert, "problems": problems},
        make=make,
        cost=Cost(generated=answers * config.max_new_tokens, verified=answers),
    )


def decide(
    problem: Problem,
    group: Sequence[Response],
    verdicts: Sequence[Verdict],
    producer: dict[str, Any],
    *,
    keep: int,
) -> list[Sample]:
    """One problem's answers as samples, in order: all but the `keep` shortest faultless ones dropped, with the rule."""
    samples: list[Sample] = []
    survivors: list[tuple[int, int]] = []  # (tokens, index)
    seen: set[str] = set()
    for index, (response, verdict) in enumerate(zip(group, verdicts, strict=True)):
        sample = Sample(
            messages=conversation(problem.prompt, response.text),
            domain=problem.domain,
            kind="curated",
            problem_id=problem.id,
            producer={**producer, "sample_index": index},
            verdicts=[verdict],
            extra={"tokens": response.tokens},
        )
        if response.truncated:
            sample = sample.drop("curate", "truncated", response.tokens)
        elif verdict.status is not Status.OK:
            sample = sample.drop("curate", f"{verdict.status}: {verdict.reason}", verdict.value)
        elif not well_formed(response.text, style=style(problem)):
            sample = sample.drop("curate", "malformed")
        elif response.text in seen:
            sample = sample.drop("curate", "repeated")
        else:
            seen.add(response.text)
            survivors.append((response.tokens, index))
        samples.append(sample)
    for tokens, index in sorted(survivors)[keep:]:
        samples[index] = samples[index].drop("curate", "not among the shortest", tokens)
    return samples
