"""Drafts of an open domain of the user's own: of a column of its table, or by a teacher.

Each is a sample of kind `open`, which leads to its prompt's row by `problem_id`. People review them where the recipe
asks for it; without a review they are taken as they are, or as the domain's own function accepts them.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.reasoning import Form, join, split
from afterbase.core.sample import Problem, Sample, Status, conversation, write_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.generate.open_tables import OpenDomain
from afterbase.data.generate.teacher import Kind, Teacher
from afterbase.data.problems.problems import train_count, train_problems
from afterbase.rollout.chat_model import Reply
from afterbase.rollout.problem_replies import replies_to
from afterbase.verify.check import check_many
from afterbase.verify.own.own_function import OWN

VERSION = 1
STAGE = "open answers"


def draft_open(
    store: Store,
    domain: str,
    problems: Artifact,
    config: OpenDomain,
    *,
    seed: int,
    teacher: Teacher | None = None,
    account: str = "",
) -> Artifact:
    """samples.parquet: a draft for each training prompt, or as many as `teacher` writes, paid from `account`.

    Drafts that are empty, were cut off or did not come stay as dropped rows. Raises UserError where all are.
    """
    column = config.draft_column(teacher)
    kinds: list[Kind] = ["original" if config.system is None else "reflective"]
    cache = store.root / "requests.sqlite"

    def make(work: Workspace) -> None:
        batch = train_problems(problems)
        if column is not None:
            groups, producer = [[_written(problem, column)] for problem in batch], {"name": "own table"}
            samples = open_samples(batch, groups, producer, check=config.check_drafts)
        else:
            assert teacher is not None
            samples = _asked(batch, teacher, kinds[0], config, seed, (cache, account, work.show))
        kept = sum(sample.dropped is None for sample in samples)
        work.log(1, 1, drafts=len(samples), kept=kept)
        if not kept:
            rules = Counter(sample.dropped.rule for sample in samples if sample.dropped is not None).most_common(3)
            raise UserError(
                f"some drafts of the open domain {domain} have to be of use",
                got=f"{len(samples)} drafts, all dropped: {', '.join(f'{rule} ({n})' for rule, n in rules)}",
                remedy="mend the column of drafts, take another teacher, or raise its `max_new_tokens`",
            )
        write_samples(work.payload / "samples.parquet", samples)

    settings: dict[str, Any] = {"domain": domain, "check": config.check_drafts, "column": column}
    cost = Cost()
    if column is None and teacher is not None:
        settings |= {"teacher": teacher.settings(), "kind": kinds[0], "seed": seed}
        known = train_problems(problems) if store.plan_only and not problems.planned else None
        cost = teacher.cost(kinds, train_count(problems), known, cache, seed=seed)
    return store.produce(
        f"{domain} drafts", STAGE, VERSION, what=settings, inputs={"problems": problems}, make=make, cost=cost
    )


def open_samples(
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Reply]],
    producer: dict[str, Any],
    *,
    check: bool,
    form: Form = "tags",
) -> list[Sample]:
    """Each draft as a sample, with the verdict of its prompt's own function if there is one.

    With `check`, one that the function does not accept is dropped.
    """
    written = [(p, i, reply) for p, group in zip(problems, groups, strict=True) for i, reply in enumerate(group)]
    judged = [(p, reply) for p, _, reply in written if p.verifier == OWN and reply.failure is None]
    verdicts = iter(check_many([(p, reply.text) for p, reply in judged], [reply.context for _, reply in judged]))
    several = any(len(group) > 1 for group in groups)
    samples = []
    for problem, index, reply in written:
        reasoning, answer = split(reply.text, reply.reasoning)
        verdict = next(verdicts) if problem.verifier == OWN and reply.failure is None else None
        sample = Sample(
            messages=conversation(problem.prompt, join(reasoning, answer, form)),
            domain=problem.domain,
            kind="open",
            problem_id=problem.id,
            producer={**producer, "sample_index": index} if several else producer,
            verdicts=[] if verdict is None else [verdict],
        )
        if reply.failure is not None:
            sample = sample.drop(STAGE, f"no answer: {reply.failure.reason}")
        elif not answer.strip():
            sample = sample.drop(STAGE, "empty")
        elif reply.truncated:
            sample = sample.drop(STAGE, "truncated", reply.tokens)
        elif check and verdict is not None and verdict.status is not Status.OK:
            sample = sample.drop(STAGE, f"{verdict.status}: {verdict.reason}", verdict.value)
        samples.append(sample)
    return samples


def _asked(
    problems: Sequence[Problem],
    teacher: Teacher,
    kind: Kind,
    config: OpenDomain,
    seed: int,
    way: tuple[Any, str, Callable[[int, int], None]],
) -> list[Sample]:
    """What the teacher writes; `way`: where its answers are kept, who pays, and who is shown how many there are."""
    cache, account, show = way
    model = teacher.model_asked(cache, account=account)
    requests = teacher.requests(problems, system=teacher.asks([kind])[kind], seed=seed)
    finished = itertools.count(1)
    groups = replies_to(
        model, requests, most_failed=teacher.most_failed, on_finished=lambda: show(next(finished), len(requests))
    )
    return open_samples(problems, groups, teacher.lineage(model), check=config.check_drafts, form=teacher.reasoning)


def _written(problem: Problem, column: str) -> Reply:
    text = problem.spec["row"].get(column) or ""
    return Reply(text=text, tokens=len(text.split()))
