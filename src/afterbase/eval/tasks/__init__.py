"""The benchmarks by name: one file each."""

import re

from afterbase.core.errors import UserError
from afterbase.eval.tasks import ifeval_task as ifeval
from afterbase.eval.tasks.code import aider, codeforces, humaneval, humaneval_mul, livecodebench, swe_bench_verified
from afterbase.eval.tasks.code.harness import Harness
from afterbase.eval.tasks.knowledge import (
    c_simpleqa,
    ceval,
    cluewsc,
    gpqa_diamond,
    mmlu,
    mmlu_pro,
    mmlu_redux,
    simpleqa,
)
from afterbase.eval.tasks.mathematics import aime2024, cnmo2024, fresh, gsm8k, math500
from afterbase.eval.tasks.reading import drop_task as drop
from afterbase.eval.tasks.reading import frames, longbench_v2
from afterbase.eval.tasks.task import Task

TASKS: dict[str, Task | Harness] = {
    "mmlu": mmlu.TASK,
    "mmlu_redux": mmlu_redux.TASK,
    "mmlu_pro": mmlu_pro.TASK,
    "drop": drop.TASK,
    "ifeval": ifeval.TASK,
    "gpqa_diamond": gpqa_diamond.TASK,
    "simpleqa": simpleqa.TASK,
    "frames": frames.TASK,
    "longbench_v2": longbench_v2.TASK,
    "humaneval_mul": humaneval_mul.TASK,
    "humaneval": humaneval.TASK,
    "livecodebench_cot": livecodebench.TASK_COT,
    "livecodebench": livecodebench.TASK,
    "codeforces": codeforces.TASK,
    "swe_bench_verified": swe_bench_verified.HARNESS,
    "aider_edit": aider.EDIT,
    "aider_polyglot": aider.POLYGLOT,
    "aime2024": aime2024.TASK,
    "math500": math500.TASK,
    "cnmo2024": cnmo2024.TASK,
    "gsm8k": gsm8k.TASK,
    "cluewsc": cluewsc.TASK,
    "ceval": ceval.TASK,
    "c_simpleqa": c_simpleqa.TASK,
    "fresh": fresh.TASK,
}


def named(text: str) -> list[str]:
    """The names in a list with commas, each once, in any spelling: `math500`, `MATH-500`, or its file's name.

    Raises UserError for one that is no benchmark.
    """
    by_spelling = {
        _plain(spelling): name for name, task in TASKS.items() for spelling in (*_files(task), task.title, name)
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


def _files(task: Task | Harness) -> list[str]:
    return [] if isinstance(task, Harness) else [source.file.removesuffix(".jsonl") for source in task.sources[:1]]


def _plain(spelling: str) -> str:
    return re.sub(r"[^a-z0-9]", "", spelling.lower())
