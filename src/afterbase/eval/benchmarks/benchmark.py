"""One model on several benchmarks: what is missing is said first, then each is answered, marked and written down.

Answers lie in a cache beside the results, by request: a run that was killed continues where it stopped.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.reasoning import UNFINISHED
from afterbase.core.sample import content_id
from afterbase.eval.benchmarks.contamination import Training, contaminated
from afterbase.eval.benchmarks.question_answers import Question, answers
from afterbase.eval.benchmarks.results import Evaluated, Judged, Result, Row, gap, summarise, summarise_harness, write
from afterbase.eval.benchmarks.settings import Settings
from afterbase.eval.benchmarks.subject import Subject
from afterbase.eval.tasks import TASKS
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.code.harness import Harness
from afterbase.eval.tasks.task import Item, Judging, Mark, Task, refuse_repeated
from afterbase.rollout.chat_model import ChatModel, Reply

_CACHE, _JUDGE_CACHE = "answers.sqlite", "judgements.sqlite"
_JUDGE_TOKENS = 1024
_NO_ANSWER = Mark(0.0, None, UNFINISHED)
_SILENT = Mark(0.0, None, "judge_without_verdict", failed=True)  # a verdict that was cut off is none


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A benchmark as it is run: all of it, under a limit of its own, or one of its twins (`twin_of` the name)."""

    name: str
    task: Task
    items: list[Item]
    max_tokens: int
    twin_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The model and the judge, open, with what they are asked under."""

    subject: Subject
    answering: ChatModel
    judge: Subject | None
    judging: ChatModel | None
    settings: Settings
    seen: set[str] | None
    """Questions that the model was trained on; None where nothing is known of that."""
    progress: Progress


def refuse_missing(
    tasks: Mapping[str, Task | Harness], subject: Subject, folder: Folder, *, judge: Subject | None
) -> None:
    """UserError that names all that is missing for these benchmarks; nothing has been computed then."""
    lacks = {
        name: lack for name, task in tasks.items() if (lack := lacking(task, subject, folder, judge=judge)) is not None
    }
    if lacks:
        raise UserError(
            "a benchmark runs where all that it needs is there",
            got="; ".join(f"{name} needs {lack}" for name, lack in lacks.items()),
            remedy="provide it, or leave " + ", ".join(lacks) + " out of --tasks",
        )


def lacking(task: Task | Harness, subject: Subject, folder: Folder, *, judge: Subject | None) -> str | None:
    """What keeps a benchmark from being run here."""
    if isinstance(task, Harness):
        return task.needs(subject, folder.path)
    if isinstance(task.score, Judging) and judge is None:
        return "a judge: --judge URL or a model's folder"
    here = [lack for source in task.sources if (lack := folder.missing(source)) is not None]
    return here[0] if here else task.needs()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where the questions lie, how they are asked, where the results go, and what the model was trained on.

    `own` are tasks of the user's own by name, beside the benchmarks that have one.
    """

    folder: Folder
    settings: Settings
    out: Path
    training: Training
    own: Mapping[str, Task] = field(default_factory=dict)


def evaluate(
    subject: Subject,
    names: Sequence[str],
    plan: Plan,
    *,
    judge: Subject | None,
    progress: Progress,
    notify: Callable[[str], None],
) -> dict[str, Result]:
    """The result of each benchmark by name, with `~RULE` behind it for a twin and `@TOKENS` for a budget.

    Files NAME.json are in `out` as each is done. All questions are read, and all that is missing refused, before the
    model is loaded.
    """
    folder, settings, out = plan.folder, plan.settings, plan.out
    tasks = {name: plan.own.get(name) or TASKS[name] for name in names}
    refuse_missing(tasks, subject, folder, judge=judge)
    variants = {name: _variants(name, task, folder, settings) for name, task in tasks.items()}
    seen = _contaminated([v for group in variants.values() for v in group], plan.training, progress, notify)
    out.mkdir(parents=True, exist_ok=True)
    asked: Asked | None = None
    results: dict[str, Result] = {}
    for name, task in tasks.items():
        if isinstance(task, Harness):
            results[name] = _driven(name, task, subject, folder, settings, out)
            continue
        if asked is None:
            asked = Asked(
                subject=subject,
                answering=subject.open(out / _CACHE),
                judge=judge,
                judging=judge.open(out / _JUDGE_CACHE) if judge is not None else None,
                settings=settings,
                seen=seen,
                progress=progress,
            )
        done: dict[str, list[Judged]] = {}
        for variant in variants[name]:
            judged = done[variant.name] = _judged(variant, asked)
            result, more = summarise(task, judged)
            if variant.twin_of is not None:
                result = result.model_copy(update={"gap": gap(done[variant.twin_of], judged)})
            results[variant.name] = result
            _write(out, variant, asked, result, more, judged)
            for note in [*filter(None, [task.remark(folder)]), *_notes(result, more, len(judged))]:
                notify(f"{variant.name}: {note}")
    return results


def _contaminated(
    variants: Sequence[Variant], training: Training, progress: Progress, notify: Callable[[str], None]
) -> set[str] | None:
    if training.missing:
        notify(f"the lineage is not whole, training rows may be missing: {', '.join(training.missing)}")
    if not training.known or not variants:
        return None
    with progress.stage("training rows") as line:
        questions = [item.question for variant in variants for item in variant.items]
        return contaminated(questions, training, lambda rows: line.update(rows, rows))


def _variants(name: str, task: Task | Harness, folder: Folder, settings: Settings) -> list[Variant]:
    """The benchmark under each limit, each followed by its twins: the questions that a rule changes."""
    if isinstance(task, Harness):
        return []
    settings.plan(task)  # refused now, if at all
    items = refuse_repeated(task.items(folder), task.title)[: settings.limit]
    twins = {
        rule: [other for item in items if (other := change(item, random.Random(f"{rule}/{item.id}"))) is not None]
        for rule, change in (task.twins.items() if settings.twins else ())
    }
    variants = []
    for budget in settings.budgets or (None,):
        whole = name if budget is None else f"{name}@{budget}"
        limit = budget or settings.max_tokens or task.max_tokens
        variants.append(Variant(name=whole, task=task, items=items, max_tokens=limit))
        variants += [
            Variant(name=f"{whole}~{rule}", task=task, items=changed, max_tokens=limit, twin_of=whole)
            for rule, changed in twins.items()
            if changed
        ]
    return variants


def _judged(variant: Variant, asked: Asked) -> list[Judged]:
    """Every answer with its mark, questions in their order and the runs of each together."""
    plan = asked.settings.plan(variant.task)
    pairs = [(item, run) for item in variant.items for run in range(len(plan))]
    questions = [Question(prompt=item.prompt, temperature=plan[run], run=run) for item, run in pairs]
    with asked.progress.stage(variant.name) as line:
        responses = answers(
            asked.subject,
            asked.answering,
            questions,
            max_tokens=variant.max_tokens,
            seed=asked.settings.seed,
            on_answered=lambda done: line.update(done, len(questions)),
        )
    there = [(item, reply) for (item, _), reply in zip(pairs, responses, strict=True) if reply.answer is not None]
    marks = iter(_marks(variant, there, asked))
    return [
        _row(item, run, response, _NO_ANSWER if response.answer is None else next(marks), asked.seen)
        for (item, run), response in zip(pairs, responses, strict=True)
    ]


def _marks(variant: Variant, there: Sequence[tuple[Item, Reply]], asked: Asked) -> list[Mark]:
    """The mark of each reply that has an answer."""
    answered = [(item, reply.answer or "") for item, reply in there]
    score = variant.task.score
    if isinstance(score, Judging):
        return _by_judge(variant.name, score, answered, asked)
    return score(answered, [reply.context for _, reply in there]) if variant.task.sees_context else score(answered)


def _by_judge(name: str, judging: Judging, answered: Sequence[tuple[Item, str]], asked: Asked) -> list[Mark]:
    assert asked.judge is not None
    assert asked.judging is not None
    questions = [Question(prompt=judging.question(item, text), temperature=0.0) for item, text in answered]
    with asked.progress.stage(f"{name}, judge") as line:
        replies = answers(
            asked.judge,
            asked.judging,
            questions,
            max_tokens=_JUDGE_TOKENS,
            seed=0,
            on_answered=lambda done: line.update(done, len(questions)),
        )
    return [_SILENT if reply.truncated else judging.mark(reply.text) for reply in replies]


def _row(item: Item, run: int, response: Reply, mark: Mark, seen: set[str] | None) -> Judged:
    if response.failure is not None:  # its prompt did not fit
        mark = Mark(0.0, None, "too_long")
    row = Row(
        id=item.id,
        digest=content_id(item.prompt, repr(item.gold)),
        run=run,
        value=mark.value,
        answer=mark.answer,
        reason=mark.reason,
        failed=mark.failed,
        tokens=response.tokens,
        truncated=response.truncated,
        too_long=response.failure is not None,
        text=response.text,
        contaminated=None if seen is None else item.question in seen,
    )
    return Judged(item=item, mark=mark, row=row)


def _driven(name: str, harness: Harness, subject: Subject, folder: Folder, settings: Settings, out: Path) -> Result:
    """A benchmark that has a program of its own."""
    assert folder.path is not None, "every harness needs it"
    values = harness.run(subject, folder.path, settings.limit, out)
    result, rows = summarise_harness(harness, values)
    evaluated = Evaluated(
        task=name,
        model=subject.name,
        digest=subject.digest,
        licence=harness.licence,
        settings={"limit": settings.limit},
        result=result,
        more={},
        rows=rows,
    )
    write(out, name, evaluated)
    return result


def _write(
    out: Path, variant: Variant, asked: Asked, result: Result, more: dict[str, Any], judged: Sequence[Judged]
) -> None:
    by_judge = asked.judge is not None and isinstance(variant.task.score, Judging)
    evaluated = Evaluated(
        task=variant.name,
        model=asked.subject.name,
        digest=asked.subject.digest,
        licence=variant.task.licence,
        settings={
            "limit": asked.settings.limit,
            "temperatures": asked.settings.plan(variant.task),
            "max_tokens": variant.max_tokens,
            "seed": asked.settings.seed,
            "plain": asked.subject.plain,
            "judge": asked.judge.label if by_judge and asked.judge is not None else None,
        },
        result=result,
        more=more,
        rows=[j.row for j in judged],
    )
    write(out, variant.name, evaluated)


def _notes(result: Result, more: dict[str, Any], answers: int) -> list[str]:
    """What a reader of the number has to know."""
    notes = []
    it = result.contaminated
    if it is not None and it.n:
        clean = "none is left" if it.value is None else f"{it.value:.1f} [{it.low:.1f}, {it.high:.1f}]"
        notes.append(f"the model was trained on {it.n} of {result.n} questions; without them: {clean}")
    if more["failed"]:
        notes.append(f"{more['failed']} of {answers} answers could not be judged, and are not in the score")
    if more.get("unfinished"):
        notes.append(
            f"{more['unfinished']} of {answers} thoughts never end, and count as wrong: no answer follows them"
        )
    if more["too_long"]:
        notes.append(f"{more['too_long']} of {answers} prompts do not fit in the context, and count as wrong")
    return notes
