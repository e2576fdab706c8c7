"""Whole programs, judged by what they print: each test is one run with its own stdin, its stdout compared line by line.

Blank space at the ends of lines and empty lines at the end do not count; all else does. What the program should print
never comes near it. A source is built once; the tests of a program run one after the other, programs side by side.

Does not cover: tests with files or arguments, tolerance for numbers, several right answers.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from afterbase.core.code.code_blocks import last_block
from afterbase.core.reasoning import answer_of
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox.confinement import Confinement, Limits
from afterbase.sandbox.languages import Language, language_of, toolchain
from afterbase.sandbox.program_run import ProgramRun, work_dir
from afterbase.sandbox.python_calls import Reason

VERIFIER = "program"
Scoring = Literal["all", "fraction"]


class Case(NamedTuple):
    """One test: what the program is given, and what it should print."""

    stdin: str
    stdout: str


class CaseRow(BaseModel):
    """A test as rows and requests have it."""

    model_config = ConfigDict(strict=True)
    stdin: str
    stdout: str


class Program(NamedTuple):
    """One answer, the block that `core/code/code_blocks.py` takes or else all of the text; and its tests, one at
    least."""

    language: str
    text: str
    tests: Sequence[Case]


@dataclass(frozen=True, kw_only=True)
class ProgramRunner:
    """How programs are run: in which confinement, how many at once, and what each test may use."""

    confinement: Confinement
    workers: int = 2
    limits: Limits = field(default_factory=Limits)

    def reasons(
        self, programs: Sequence[Program], *, all_tests: bool, unwanted: Callable[[], bool] = lambda: False
    ) -> list[list[str]]:
        """For each program the reason of each test: match, mismatch, or how the run ended.

        Without `all_tests` a program's list ends with the first that is no match. UserError if a language is unknown or
        its tools are missing: nothing is run then. Once the verdicts are `unwanted` what runs is ended, as `sandbox`.
        """
        for name in {language_of(program.language).name for program in programs}:
            toolchain(language_of(name))
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda program: self._judged(program, all_tests, unwanted), programs))

    def verdicts(
        self, programs: Sequence[Program], *, scoring: Scoring = "all", unwanted: Callable[[], bool] = lambda: False
    ) -> list[Verdict]:
        """One verdict a program. Its value is 1 if all tests pass, else 0; or the fraction of tests that pass."""
        judged = self.reasons(programs, all_tests=scoring == "fraction", unwanted=unwanted)
        return [
            _verdict(reasons, tests=len(program.tests), scoring=scoring)
            for program, reasons in zip(programs, judged, strict=True)
        ]

    @contextlib.contextmanager
    def written(
        self, language: Language, text: str, unwanted: Callable[[], bool] = lambda: False
    ) -> Iterator[ProgramRun]:
        """A program in a folder of its own, to be built and run as often as its caller likes."""
        with work_dir() as place:
            yield ProgramRun(
                language=language,
                text=text,
                work_dir=place,
                confinement=self.confinement,
                limits=self.limits,
                unwanted=unwanted,
            )

    def _judged(self, program: Program, all_tests: bool, unwanted: Callable[[], bool]) -> list[str]:
        """One program's trouble with the machine (a full disk, a folder that is stuck) is no other's."""
        try:
            return self._run(program, all_tests, unwanted)
        except OSError as error:
            logging.getLogger(__name__).warning("a program could not be run: %s", error)
            return [str(Reason.SANDBOX)] * (len(program.tests) if all_tests else 1)

    def _run(self, program: Program, all_tests: bool, unwanted: Callable[[], bool]) -> list[str]:
        language = language_of(program.language)
        block = last_block(program.text, language.spellings)
        text = (answer_of(program.text) or "") if block is None else block.replace("\r\n", "\n")
        with self.written(language, text, unwanted) as run:
            fault = run.fault_of_building()
            if fault is not None:
                return [fault] * (len(program.tests) if all_tests else 1)
            reasons = []
            for test in program.tests:
                ended = str(Reason.SANDBOX) if unwanted() else run.reason(stdin=test.stdin, stdout=test.stdout)
                reasons.append(ended)
                if reasons[-1] != "match" and not all_tests:
                    break
            return reasons


def _verdict(reasons: Sequence[str], *, tests: int, scoring: Scoring) -> Verdict:
    """The first reason that is no match speaks for the program."""
    reason = next((reason for reason in reasons if reason != "match"), "match")
    status = {"match": Status.OK, "sandbox": Status.FAILED}.get(reason, Status.WRONG)
    passed = reasons.count("match") / tests
    return Verdict(
        verifier=VERIFIER, status=status, value=passed if scoring == "fraction" else float(passed == 1), reason=reason
    )


def worker_count() -> int:
    """As many programs at once as there are cores for this process."""
    return len(os.sched_getaffinity(0))
