"""A benchmark of the user's own: a table of prompts and answers, with any verifier or a function of one's own.

An answer is looked for in the ways of the public benchmarks: a box, what the response calls its answer, and for
mathematics the last number, for `exact` the whole response. What was cut off counts only where it marks its answer.

A function's value counts as credit: below 0 it is 0, above 1 it is 1.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from afterbase.core.config import config_of
from afterbase.core.errors import UserError
from afterbase.core.sample import Status, Verdict
from afterbase.data.formats.source_table import read_table
from afterbase.data.problems.source_rows import Source, prompt_cell, row_problem
from afterbase.eval.tasks import named
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.task import Answered, Item, Mark, Task
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.check import NONE, check_many
from afterbase.verify.extract import extract
from afterbase.verify.ifeval.english import refuse_without_ifeval
from afterbase.verify.ifeval.follow import VERIFIER as IFEVAL
from afterbase.verify.own.own_verdicts import refuse_unready

_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".arrow")
_WAYS = {"maths": ["box", "answer_is", "last_number"], "exact": ["box", "answer_is", "all"]}


def tasks_named(text: str, verifier: str | None, columns: Mapping[str, str]) -> tuple[list[str], dict[str, Task]]:
    """The names in a list with commas, and the tasks of those that are files, each under its file's name.

    UserError for what is neither a benchmark nor a file, for two of one name, and for files without a verifier.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    files = [part for part in parts if _is_file(part)]
    if bool(files) != (verifier is not None):
        raise UserError(
            "a file of one's own has a verifier, and a benchmark has its own",
            got=f"{', '.join(files)} without --verifier" if files else f"--verifier {verifier}, and no file in --tasks",
            remedy="add --verifier maths, exact, choice, or FILE.py:FUNCTION" if files else "leave --verifier out",
        )
    public = [part for part in parts if part not in files]
    names = named(",".join(public)) if public or not files else []
    own: dict[str, Task] = {}
    for file in files:
        name = Path(file).name.split(".")[0]
        if name in own or name in names:
            raise UserError("tasks have names of their own", got=f"`{name}` twice", remedy="rename the file")
        own[name] = own_task(file, verifier or "", columns)
    return [*names, *own], own


def _is_file(part: str) -> bool:
    return "/" in part or part.startswith("hub:") or any(suffix in _SUFFIXES for suffix in Path(part).suffixes)


def own_source(file: str, verifier: str, columns: Mapping[str, str], **settings: Any) -> Source:
    """The settings of a whole table, as in training. UserError for a verifier, a function or a column that is none."""
    table = {"path": file, "verifier": verifier, "columns": dict(columns), "train": "all", "test": 0, **settings}
    source = config_of(table, Source, file)
    if source.verifier == NONE:
        raise UserError("answers are judged by a verifier", got="`none`", remedy="name one with --verifier")
    if source.verifier == IFEVAL:
        refuse_without_ifeval()
    return source.with_columns()


def own_task(file: str, verifier: str, columns: Mapping[str, str]) -> Task:
    """The task of one table. UserError where the table or its verifier cannot be used; functions are loaded."""
    ways = {"answer_by": _WAYS[verifier]} if verifier in _WAYS else {}
    source = own_source(file, verifier, columns, **ways)
    if source.own is not None:
        refuse_unready(source.own)
    return Task(
        title=Path(file).name,
        sources=(),
        licence=source.licence or "the user's own",
        metric="accuracy" if source.own is None else f"credit by {source.own.shown}",
        items=partial(_items, source),
        score=_score,
        sees_context=True,
    )


def _items(source: Source, _: Folder) -> list[Item]:
    items = []
    for row in read_table(source.path, split=source.split, columns=source.named_columns()):
        problem = row_problem("own", source, row)
        asked = prompt_cell(source, row)
        items.append(Item(id=row.place, prompt=problem.prompt, question=asked, gold=problem, right=problem.gold))
    return items


def _score(answered: Answered, contexts: Sequence[AnswerContext]) -> list[Mark]:
    verdicts = check_many([(item.gold, response) for item, response in answered], contexts)
    return [_mark(item, response, verdict) for (item, response), verdict in zip(answered, verdicts, strict=True)]


def _mark(item: Item, response: str, verdict: Verdict) -> Mark:
    answer = extract(response, item.gold.spec["answer_by"]) if "answer_by" in item.gold.spec else None
    reason = f"{verdict.reason}: {verdict.detail}" if verdict.detail else verdict.reason
    return Mark(min(1.0, max(0.0, verdict.value)), answer, reason, failed=verdict.status is Status.FAILED)
