"""Both kinds of SFT samples for an expert (V3 report section 5.1).

For each problem one <problem, original response> and one <system prompt, problem, R1 response>. R1's part is played by
a procedural teacher, or by the recipe's own (`teacher.py`).
"""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.reasoning import Form, join, split
from afterbase.core.sample import Problem, Sample, Status, conversation, write_samples
from afterbase.core.store import Artifact, Cost, Store, Workspace
from afterbase.data.domains import DOMAINS
from afterbase.data.generate.teacher import Kind, Teacher
from afterbase.data.problems.problems import train_count, train_problems
from afterbase.rollout.chat_model import ChatModel, Reply
from afterbase.rollout.problem_replies import replies_to
from afterbase.verify.check import check_many

VERSION = 7


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
            samples = taught(
                batch, kinds, teacher, teacher.model_asked(cache, account=account), seed=seed, show=work.show
            )
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
    """One sample a problem, by rule; the reflective kind carries the domain's system prompt; wrong ones are dropped."""
    system = DOMAINS[domain].REFLECTIVE_SYSTEM_PROMPT if kind == "reflective" else None
    groups = [[written_by_rule(problem, kind, seed=seed)] for problem in problems]
    return judged(problems, groups, kind, {"name": f"procedural teacher, {kind}"}, system=system)


def written_by_rule(problem: Problem, kind: Kind, *, seed: int) -> Reply:
    """The procedural teacher's response; tokens are counted as words, as there is no tokenizer."""
    domain = DOMAINS[problem.domain]
    write = domain.original_response if kind == "original" else domain.teacher_response
    text = write(problem, random.Random(f"{seed}/{problem.id}/{kind}/0"))
    return Reply(text=text, tokens=len(text.split()))


def taught(
    problems: Sequence[Problem],
    kinds: Sequence[Kind],
    teacher: Teacher,
    model: ChatModel,
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
            system = asked[kind]
            groups = replies_to(
                model,
                teacher.requests(problems, system=system, seed=seed),
                most_failed=teacher.most_failed,
                on_finished=lambda: show(next(finished), total),
            )
            who = teacher.lineage(model)
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


def _golds(problems: Sequence[Problem]) -> list[list[Reply]]:
    golds = [problem.gold or "" for problem in problems]
    return [[Reply(text=gold, tokens=len(gold.split()))] for gold in golds]


def judged(
    problems: Sequence[Problem],
    groups: Sequence[Sequence[Reply]],
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
    judged = [(p, answer, response.context) for p, _, response, _, answer in written if response.failure is None]
    verdicts = iter(check_many([(p, answer) for p, answer, _ in judged], [context for *_, context in judged]))
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
        if response.failure is not None:
            sample = sample.drop("draft", f"no answer: {response.failure.reason}")
        elif response.truncated:
            sample = sample.drop("draft", "truncated", response.tokens)
        elif not answer:
            sample = sample.drop("draft", "empty")
        elif verdict is not None and verdict.status is not Status.OK:
            sample = sample.drop("draft", f"{verdict.status}: {verdict.reason}", verdict.value)
        samples.append(sample)
    return samples
