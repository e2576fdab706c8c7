"""The benchmarks by name: one file each."""

import re

from afterbase.core.errors import UserError
from afterbase.eval.tasks import (
    aime2024,
    ceval,
    cluewsc,
    cnmo2024,
    drop,
    gsm8k,
    humaneval,
    math500,
    mmlu,
    mmlu_pro,
    mmlu_redux,
)
from afterbase.eval.tasks.task import Task

TASKS: dict[str, Task] = {
    "mmlu": mmlu.TASK,
    "mmlu_redux": mmlu_redux.TASK,
    "mmlu_pro": mmlu_pro.TASK,
    "drop": drop.TASK,
    "humaneval": humaneval.TASK,
    "aime2024": aime2024.TASK,
    "math500": math500.TASK,
    "cnmo2024": cnmo2024.TASK,
    "cluewsc": cluewsc.TASK,
    "ceval": ceval.TASK,
    "gsm8k": gsm8k.TASK,
}


def named(text: str) -> list[str]:
    """The names in a list with commas, each once, in any spelling: `math500`, `MATH-500`, or its file's name.

    Raises UserError for one that is no benchmark.
    """
    by_spelling = {
        _plain(spelling): name
        for name, task in TASKS.items()
        for spelling in (*(source.file.removesuffix(".jsonl") for source in task.sources[:1]), task.title, name)
    }
    names: dict[str, None] = {}
    for spelling in filter(None, (part.strip() for part in text.split(","))):
        if _plain(spelling) not in by_spelling:
            raise UserError(
                "`--tasks` names benchmarks, with commas between them",
                got=f"`{spelling}`",
                remedy=f"use some of {', '.join(TASKS)}",
            )
        names[by_spelling[_plain(spelling)]] = None
    if not names:
        raise UserError("`--tasks` names one benchmark or more", got=f"`{text}`", remedy=f"such as {next(iter(TASKS))}")
    return list(names)


def _plain(spelling: str) -> str:
    return re.sub(r"[^a-z0-9]", "", spelling.lower())
