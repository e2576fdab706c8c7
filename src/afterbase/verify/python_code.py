"""Python answers: the block that defines it must pass every hidden test in the sandbox.

Values are compared as JSON: a tuple equals a list, 2 equals 2.0 (floats exactly, without tolerance), but True is no
number. One wrong result is as wrong as ten: a share of passed tests would pay for guessing.

Does not cover: languages other than Python.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from afterbase.core.code.code_blocks import program_with
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox import Reason, Run, RunResult, language_of

VERIFIER = "python"


class Runs(Protocol):
    """`Sandbox`, here or on another machine (`remote.Remote`)."""

    def run_many(self, runs: Sequence[Run]) -> list[RunResult]:
        """The result of each run, in order."""
        ...


class Item(NamedTuple):
    """One answer, the name of the function it must define, and the tests: [{"args": [...], "expected": ...}]."""

    response: str
    function: str
    tests: Sequence[dict[str, Any]]


def check_python_many(items: Sequence[Item], sandbox: Runs) -> list[Verdict]:
    """One verdict an answer, value 1 or 0.

    Reasons: match; no_code, mismatch, or how the run ended (crash, compile, timeout, memory, output), which is wrong;
    sandbox, which is failed.
    """
    programs = [program_with(item.response, language_of("python").spellings, item.function) for item in items]
    results = iter(
        sandbox.run_many(
            [
                Run(program=program, function=item.function, calls=[test["args"] for test in item.tests])
                for item, program in zip(items, programs, strict=True)
                if program is not None
            ]
        )
    )
    return [
        _verdict("no_code") if program is None else _judged(next(results), item.tests)
        for item, program in zip(items, programs, strict=True)
    ]


def _judged(result: RunResult, tests: Sequence[dict[str, Any]]) -> Verdict:
    if result.reason is Reason.NOT_JSON:
        return _verdict("mismatch")
    if result.reason is not Reason.OK:
        return _verdict(str(result.reason))
    passed = all(same(got, test["expected"]) for got, test in zip(result.results, tests, strict=True))
    return _verdict("match" if passed else "mismatch")


def _verdict(reason: str) -> Verdict:
    status = {"match": Status.OK, "sandbox": Status.FAILED}.get(reason, Status.WRONG)
    return Verdict(verifier=VERIFIER, status=status, value=float(reason == "match"), reason=reason)


def same(got: Any, expected: Any) -> bool:
    """Equality of JSON values, where a truth value equals no number (in Python True == 1)."""
    if isinstance(expected, list):
        return isinstance(got, list) and len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, dict):
        return isinstance(got, dict) and got.keys() == expected.keys() and all(same(got[k], expected[k]) for k in got)
    return isinstance(got, bool) == isinstance(expected, bool) and got == expected
