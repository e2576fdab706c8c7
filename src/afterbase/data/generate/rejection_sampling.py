"""Rejection sampling with the expert as generator (V3 report section 5.1): accurate as R1, concise and effective.

Several answers a problem, verified. Kept: right, ended, well formed, and among those the shortest; `rules` adds more by
name (`selection.py`). The report gives no thresholds; how many are sampled and kept is the recipe's choice. Every row
stays, with the rule that dropped it.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from afterbase.core.config import what
from afterbase.core.sample import Problem, Sample, Status, Verdict, conversation, write_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.domains import style_of
from afterbase.data.generate.config import Rejection
from afterbase.data.generate.selection import Candidate, Rules, by_difficulty, chosen, faults, too_easy
from afterbase.data.problems.problems import train_count, train_problems
from afterbase.model.load import load
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.problem_replies import judged_replies, problem_requests, replies_to
from afterbase.verify.extract import last_boxed
from afterbase.verify.format import well_formed

VERSION = 5


def curate(
    store: Store, domain: str, expert: Artifact, problems: Artifact, config: Rejection, *, seed: int
) -> Artifact:
    """samples.parquet: every sampled answer, kept or dropped.

    >>> config = Rejection(samples=2, temperature=1.0, max_new_tokens=32)
    >>> curated = curate(store, "arithmetic", expert, problems, config, seed=0)
    >>> (curated.payload / "samples.parquet").exists()
    True
    """

    def make(work: Workspace) -> None:
        batch = train_problems(problems)
        model = EngineModel(load(expert.payload), name=expert.key)
        sampled = {"temperature": config.temperature, "max_new_tokens": config.max_new_tokens}
        requests = problem_requests(batch, samples=config.samples, seed=seed, **sampled)
        finished = itertools.count(1)
        groups = replies_to(model, requests, on_finished=lambda: work.show(next(finished), len(requests)))
        verdicts = iter(judged_replies(batch, groups))
        samples = []
        for problem, group in zip(batch, groups, strict=True):
            samples += decide(problem, group, [next(verdicts) for _ in group], {**model.describe(), **sampled}, config)
        samples, spread = balanced(samples, config.rules)
        kept = [s for s in samples if s.dropped is None]
        work.log(
            1,
            1,
            sampled=len(samples),
            kept=len(kept),
            solved=round(len({s.problem_id for s in kept}) / len(batch), 4),
            failed=sum(v.status is Status.FAILED for s in samples for v in s.verdicts),
            **spread,
        )
        write_samples(work.payload / "samples.parquet", samples)

    answers = train_count(problems) * config.samples
    settings = what(config)
    if config.rules is None:
        del settings["rules"]  # what was made before there were rules is still what it was
    return store.produce(
        f"{domain} rejection sampling",
        "curate",
        VERSION,
        what={**settings, "domain": domain, "seed": seed},
        inputs={"expert": expert, "problems": problems},
        make=make,
        cost=Cost(generated=answers * config.max_new_tokens, verified=answers),
    )


def decide(
    problem: Problem,
    group: Sequence[Reply],
    verdicts: Sequence[Verdict],
    producer: dict[str, Any],
    config: Rejection,
) -> list[Sample]:
    """One problem's answers as samples, in order: all but the `keep` best faultless ones dropped, with the rule."""
    rules = config.rules or Rules()
    samples: list[Sample] = []
    right: list[int] = []
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
        elif not well_formed(response.text, style=style_of(problem) or "plain"):
            sample = sample.drop("curate", "malformed")
        elif response.text in seen:
            sample = sample.drop("curate", "repeated")
        else:
            seen.add(response.text)
            right.append(index)
        samples.append(sample)
    candidates = [Candidate(group[i].text, group[i].tokens, verdicts[i].value) for i in right]
    answer = last_boxed(problem.gold) if problem.gold is not None else None
    found = faults(candidates, rules, answer=answer)
    for index, fault in zip(right, found, strict=True):
        if fault is not None:
            samples[index] = samples[index].drop("curate", *fault)
    left = [k for k, fault in enumerate(found) if fault is None]
    taken = {left[k] for k in chosen([candidates[k] for k in left], rules, config.keep)}
    for k in left:
        if k not in taken:
            samples[right[k]] = samples[right[k]].drop("curate", f"not among the {rules.choose}", candidates[k].tokens)
    return samples


def balanced(samples: list[Sample], rules: Rules | None) -> tuple[list[Sample], dict[str, int]]:
    """Samples with the solve rate of their problem, easy ones cut to their share; and how many are kept by rate."""
    if rules is None:
        return samples, {}
    judged: defaultdict[str | None, list[bool]] = defaultdict(list)
    for sample in samples:
        judged[sample.problem_id] += [v.status is Status.OK for v in sample.verdicts if v.status is not Status.FAILED]
    rates = {problem: sum(oks) / len(oks) if oks else 0.0 for problem, oks in judged.items()}
    out = [replace(s, extra={**s.extra, "solve_rate": rates[s.problem_id]}) for s in samples]
    if rules.easy_share is not None:
        kept = [s for s in out if s.dropped is None]
        easy = set(too_easy([s.id for s in kept], [rates[s.problem_id] for s in kept], rules.easy_share))
        out = [s.drop("curate", "too many easy", rates[s.problem_id]) if s.id in easy else s for s in out]
    return out, by_difficulty([rates[s.problem_id] for s in out if s.dropped is None])
