"""One model on several benchmarks: what is missing is said first, then each is answered, marked and written down.

Answers lie in a cache beside the results, by request: a run that was killed goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.progress import Progress
from afterbase.core.sample import content_id
from afterbase.eval.answers import Question, Response, answers
from afterbase.eval.results import Evaluated, Judged, Result, Row, summarise, write
from afterbase.eval.subject import Answering, Subject
from afterbase.eval.tasks import TASKS
from afterbase.eval.tasks.sources import Folder
from afterbase.eval.tasks.task import Item, Judging, Mark, Task, refuse_repeated

_CACHE, _JUDGE_CACHE = "answers.sqlite", "judgements.sqlite"
_JUDGE_TOKENS = 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to evaluate; None: as the benchmark's protocol has it.

    `limit`: the first so many questions. `temperatures` go round over the `runs`.
    """

    limit: int | None = None
    runs: int | None = None
    temperatures: tuple[float, ...] | None = None
    max_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("--limit", self.limit), ("--runs", self.runs), ("--max-new-tokens", self.max_tokens)):
            if value is not None and value < 1:
                raise UserError(f"`{name}` is 1 or more", got=str(value), remedy="leave it out for the protocol's own")
        if self.temperatures is not None and not all(0 <= t <= 2 for t in self.temperatures):
            raise UserError(
                "a temperature is from 0 to 2", got=str(list(self.temperatures)), remedy="0 is greedy, 0.7 is common"
            )

    def plan(self, task: Task) -> list[float]:
        """The temperature of each run. UserError for a greedy one that is repeated: it would be the same again."""
        temperatures = self.temperatures or (task.temperature,)
        runs = self.runs or (len(self.temperatures) if self.temperatures else task.runs)
        plan = [temperatures[run % len(temperatures)] for run in range(runs)]
        if plan.count(0.0) > 1:
            raise UserError(
                "a greedy answer is the same each time",
                got=f"{plan.count(0.0)} greedy runs of {task.title}",
                remedy="give `--temperatures 0.7`, or `--runs 1`",
            )
        return plan


def refuse_missing(names: Sequence[str], folder: Folder, *, judge: Subject | None) -> None:
    """UserError that names all that is missing for these benchmarks; nothing has been computed then."""
    lacks = {name: lack for name in names if (lack := lacking(TASKS[name], folder, judge=judge)) is not None}
    if lacks:
        raise UserError(
            "a benchmark runs where all that it needs is there",
            got="; ".join(f"{name} needs {lack}" for name, lack in lacks.items()),
            remedy="provide it, or leave " + ", ".join(lacks) + " out of --tasks",
        )


def lacking(task: Task, folder: Folder, *, judge: Subject | None) -> str | None:
    """What keeps a benchmark from being run here."""
    if isinstance(task.score, Judging) and judge is None:
        return "a judge: --judge URL or a model's folder"
    here = [lack for source in task.sources if (lack := folder.missing(source)) is not None]
    return here[0] if here else task.needs()


def evaluate(
    subject: Subject,
    names: Sequence[str],
    *,
    folder: Folder,
    settings: Settings,
    out: Path,
    judge: Subject | None,
    progress: Progress,
    tell: Callable[[str], None],
) -> dict[str, Result]:
    """The result of each benchmark by name; files NAME.json are in `out` as each is done.

    All questions are read, and all that is missing refused, before the model is loaded.
    """
    refuse_missing(names, folder, judge=judge)
    plans = {name: settings.plan(TASKS[name]) for name in names}
    items = {name: _items(TASKS[name], folder, settings) for name in names}
    out.mkdir(parents=True, exist_ok=True)
    asked = subject.open(out / _CACHE)
    asked_judge = judge.open(out / _JUDGE_CACHE) if judge is not None else None
    results = {}
    for name in names:
        task, plan = TASKS[name], plans[name]
        judged = _judged(name, task, items[name], plan, subject, asked, settings, judge, asked_judge, progress)
        result, more = summarise(task, judged)
        results[name] = result
        write(
            out,
            name,
            Evaluated(
                task=name,
                model=subject.name,
                digest=subject.digest,
                licence=task.licence,
                settings=_settings(task, settings, plan, subject, judge),
                result=result,
                more=more,
                rows=[j.row for j in judged],
            ),
        )
        for note in _notes(task, more, len(judged)):
            tell(f"{name}: {note}")
    return results


def _items(task: Task, folder: Folder, settings: Settings) -> list[Item]:
    return refuse_repeated(task.items(folder), task.title)[: settings.limit]


def _settings(
    task: Task, settings: Settings, plan: Sequence[float], subject: Subject, judge: Subject | None
) -> dict[str, Any]:
    """What the numbers depend on beside the model."""
    return {
        "limit": settings.limit,
        "temperatures": list(plan),
        "max_tokens": settings.max_tokens or task.max_tokens,
        "seed": settings.seed,
        "plain": subject.plain,
        "judge": judge.label if judge is not None and isinstance(task.score, Judging) else None,
    }


def _judged(
    name: str,
    task: Task,
    items: Sequence[Item],
    plan: Sequence[float],
    subject: Subject,
    asked: Answering,
    settings: Settings,
    judge: Subject | None,
    asked_judge: Answering | None,
    progress: Progress,
) -> list[Judged]:
    """Every answer with its mark, questions in their order and the runs of each together."""
    pairs = [(item, run) for item in items for run in range(len(plan))]
    questions = [Question(prompt=item.prompt, temperature=plan[run], run=run) for item, run in pairs]
    with progress.stage(name) as line:
        responses = answers(
            subject,
            asked,
            questions,
            max_tokens=settings.max_tokens or task.max_tokens,
            seed=settings.seed,
            on_answered=lambda done: line.update(done, len(questions)),
        )
    answered = [(item, response.text) for (item, _), response in zip(pairs, responses, strict=True)]
    if isinstance(task.score, Judging):
        assert judge is not None and asked_judge is not None
        marks = _asked_of_judge(name, task.score, answered, judge, asked_judge, progress)
    else:
        marks = task.score(answered)
    return [
        _row(item, run, response, mark) for (item, run), response, mark in zip(pairs, responses, marks, strict=True)
    ]


def _asked_of_judge(
    name: str,
    judging: Judging,
    answered: Sequence[tuple[Item, str]],
    judge: Subject,
    asked_judge: Answering,
    progress: Progress,
) -> list[Mark]:
    questions = [Question(prompt=judging.question(item, text), temperature=0.0) for item, text in answered]
    with progress.stage(f"{name}, judge") as line:
        replies = answers(
            judge,
            asked_judge,
            questions,
            max_tokens=_JUDGE_TOKENS,
            seed=0,
            on_answered=lambda done: line.update(done, len(questions)),
        )
    return [judging.mark(reply.text) for reply in replies]


def _row(item: Item, run: int, response: Response, mark: Mark) -> Judged:
    if response.too_long:
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
        too_long=response.too_long,
        text=response.text,
    )
    return Judged(item=item, mark=mark, row=row)


def _notes(task: Task, more: dict[str, Any], answers: int) -> list[str]:
    """What a reader of the number has to know."""
    notes = []
    if more["failed"]:
        notes.append(f"{more['failed']} of {answers} answers could not be judged, and are in no number")
    if more["too_long"]:
        notes.append(f"{more['too_long']} of {answers} prompts do not fit in the context, and count as wrong")
    return notes
