"""Both kinds of SFT samples for an expert (V3 report section 5.1).

For each problem one <problem, original response> and one <system prompt, problem, R1 response>. R1's part is played by
a procedural teacher behind the interface of any other producer of answers, or by the recipe's own (`teacher.py`).
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.reasoning import Form, join, split
from afterbase.core.sample import Problem, Sample, Status, conversation, write_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.teacher import Kind, Teacher
from afterbase.data.problems.problems import train_count, train_problems
from afterbase.rollout.producer import Producer, Response
from afterbase.verify.check import check_many

VERSION = 6


@dataclass(frozen=True)
class ProceduralTeacher:
    """Writes a domain's original or reflective responses by rule; tokens are counted as words, having no tokenizer."""

    kind: Kind

    def describe(self) -> dict[str, Any]:
        return {"name": f"procedural teacher, {self.kind}"}

    def respond(
        self,
        problems: Sequence[Problem],
        *,
        system: str | None,
        samples: int,
        seed: int,
        on_finished: Callable[[], None] | None = None,
    ) -> list[list[Response]]:
        groups = []
        for problem in problems:
            domain = DOMAINS[problem.domain]
            write = domain.original_response if self.kind == "original" else domain.teacher_response
            group = []
            for index in range(samples):
                text = write(problem, random.Random(f"{seed}/{problem.id}/{self.kind}/{index}"))
                group.append(Response(text=text, tokens=len(text.split()), truncated=False))
                if on_finished is not None:
                    on_finished()
            groups.append(group)
        return groups


def draft(
    store: Store,
    domain: str,
    problems: Artifact,
    kinds: Sequence[Kind],
    *,
    seed: int,
    teacher: Teacher | None = None,
    account: str = "",
) -> Artifact:
    """samples.parquet: samples of each problem and kind, each verified; wrong ones are kept as dropped rows.

    One a problem and kind by the procedural teacher, or as many as `teacher` says, paid from `account`.

    >>> from afterbase.core.sample import read_samples
    >>> drafts = draft(store, "arithmetic", problems, ["original", "reflective"], seed=0)
    >>> [drafted.kind for drafted in read_samples(drafts.payload / "samples.parquet")].count("reflective")
    8
    """
    cache = store.root / "requests.sqlite"

    def make(work: Workspace) -> None:
        batch = train_problems(problems)
        if teacher is None:
            samples = [s for kind in kinds for s in drafts(domain, batch, kind, seed=seed)]
        else:
            samples = taught(batch, kinds, teacher, teacher.producer(cache, account=account), seed=seed, show=work.show)
        work.log(1, 1, drafts=len(samples), kept=sum(s.dropped is None for s in samples))
        write_samples(work.payload / "samples.parquet", samples)

    settings: dict[str, Any] = {"domain": domain, "kinds": list(kinds), "seed": seed}
    cost = Cost()
    if teacher is not None:
        settings["teacher"] = teacher.settings()
        known = train_problems(problems) if store.plan_only and not problems.planned else None
        cost = teacher.cost(kinds, train_count(problems), known, cache, seed=seed)
    name = f"{domain} drafts" if len(kinds) > 1 else f"{domain} {kinds[0]} drafts"
    return store.produce(name, "draft", VERSION, what=settings, inputs={"problems": problems}, make=make, cost=cost)


def drafts(domain: str, problems: Sequence[Problem], kind: Kind, *, seed: int) -> list[Sample]:
    """One sample a problem; the reflective kind carries the domain's system prompt; what is not right is dropped."""
    teacher = ProceduralTeacher(kind)
    system = DOMAINS[domain].REFLECTIVE_SYSTEM_PROMPT if kind == "reflective" else None
    groups = teacher.respond(problems, system=system, samples=1, seed=seed)
    return judged(problems, groups, kind, teacher.describe(), system=system)


def taught(
    problems: Sequence[Problem],
    kinds: Sequence[Kind],
    teacher: Teacher,
    producer: Producer,
    *,
    seed: int,
    show: Callable[[int, int], None],
) -> list[Sample]:
    """The teacher's drafts, and the gold responses where those are the originals; `show` counts answers."""
    asked = teacher.asks(kinds)
    total, finished = len(problems) * teacher.samples * len(asked), itertools.count(1)
    samples = []
    for kind in kinds:
        if kind in asked:
            groups = producer.respond(
                problems, system=asked[kind], samples=teacher.samples, seed=seed,
                on_finished=lambda: show(next(finished), total),
            )  # fmt: skip
            who, system = producer.describe(), asked[kind]
        else:
            groups, who, system = _golds(problems), {"name": "gold"}, None
        samples += judged(problems, groups, kind, who, system=system, form=teacher.reasoning)
    if all(sample.dropped is not None for sample in samples):
        rules = Counter(sample.dropped.rule for sample in samples if sample.dropped is not None).most_common(3)
        raise UserError(
            "some of a teacher's drafts have to be right",
            got=f"{len(samples)} drafts, all dropped: {', '.join(f'{rule} ({n})' for rule, n in rules)}",
            remedy="take a stronger teacher, say in `instruction` how to answer, raise `max_new_tokens`, "
            'or set `originals = "gold"`',
        )
    return samples


def _golds(problems: Sequence[Problem]) -> list[list[Response]]:
    golds = [problem.gold or "" for problem in problems]
    return [[Response(text=gold, tokens=len(gold.split()), truncated=False)] for gold in golds]


def judged(
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Response]],
    kind: Kind,
    producer: dict[str, Any],
    *,
    system: str | None,
    form: Form = "tags",
) -> list[Sample]:
    """Each response as a sample, dropped unless its answer is right; several of a problem are told by their index."""
    written = [
        (problem, index if len(group) > 1 else None, response, *split(response.text, response.reasoning))
        for problem, group in zip(problems, groups, strict=True)
        for index, response in enumerate(group)
    ]
    verdicts = iter(check_many([(p, answer) for p, _, response, _, answer in written if response.failure is None]))
    samples = []
    for problem, index, response, reasoning, answer in written:
        verdict = next(verdicts) if response.failure is None else None
        sample = Sample(
            messages=conversation(problem.prompt, join(reasoning, answer, form), system=system),
            domain=problem.domain,
            kind=kind,
            problem_id=problem.id,
            producer=producer if index is None else {**producer, "sample_index": index},
            verdicts=[] if verdict is None else [verdict],
        )
        if verdict is None:
            sample = sample.drop("draft", f"no answer: {response.failure}")
        elif response.truncated:
            sample = sample.drop("draft", "truncated", response.tokens)
        elif not answer:
            sample = sample.drop("draft", "empty")
        elif verdict.status is not Status.OK:
            sample = sample.drop("draft", f"{verdict.status}: {verdict.reason}", verdict.value)
        samples.append(sample)
    return samples
