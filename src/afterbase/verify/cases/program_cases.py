"""A file of programs with their tests, and the verdict on each: what `afterbase verify code` tells."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from afterbase.core.errors import UserError
from afterbase.core.rows import read_rows
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox import SPELLINGS, Case, CaseRow, Program, toolchain


def known_language(language: str) -> str:
    """The spelling of a language, if it is one; ValueError if not."""
    if language.lower() not in SPELLINGS:
        raise ValueError(f"{language!r} is none of {', '.join(SPELLINGS)}")
    return language


class ProgramRow(BaseModel):
    """One line of the file; without a test there is nothing to judge by."""

    model_config = ConfigDict(strict=True)
    id: str | int
    language: Annotated[str, AfterValidator(known_language)]
    program: str
    tests: Annotated[list[CaseRow], Field(min_length=1)]


def judged(
    path: Path, verdicts: Callable[[Sequence[Program]], Sequence[Verdict]], notify: Callable[[str], None]
) -> dict[str, Any]:
    """{n, results: [{id, status, reason}]}, in the order of the file.

    Languages whose tools are missing are told before the first program runs; their programs are `failed`, `toolchain`.
    """
    rows = read_rows(path, ProgramRow)
    missing = {}
    for name in sorted({SPELLINGS[row.language.lower()].name for row in rows}):
        try:
            toolchain(SPELLINGS[name])
        except UserError as error:
            missing[name] = error
            notify(f"{error.rule}: {error.got}; {error.remedy}")
    run = [row for row in rows if SPELLINGS[row.language.lower()].name not in missing]
    programs = [
        Program(row.language, row.program, [Case(test.stdin, test.stdout) for test in row.tests]) for row in run
    ]
    judgements = iter(verdicts(programs))
    results = []
    for row in rows:
        if SPELLINGS[row.language.lower()].name in missing:
            results.append({"id": row.id, "status": str(Status.FAILED), "reason": "toolchain"})
        else:
            verdict = next(judgements)
            results.append({"id": row.id, "status": str(verdict.status), "reason": verdict.reason})
    return {"n": len(rows), "results": results}
