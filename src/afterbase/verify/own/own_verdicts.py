"""Verdicts of the user's own functions: they run in warm worker processes, as many as there are cores.

A function that raises, is late, takes too much memory, ends its process, or returns what is no value has failed for
that answer: it is `failed`, with the reason, and never a zero. A value above 0.5 counts as solved; it may be any finite
number, and is the reward as it is.

Where the first eight calls of a step are all late, the others are not called: a function that hangs would otherwise
take its deadline for each of thousands of answers.
"""

import atexit
import contextlib
import functools
import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from afterbase.core.errors import UserError
from afterbase.core.reasoning import part
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.sandbox import worker_count
from afterbase.verify.answer_context import NO_CONTEXT, AnswerContext
from afterbase.verify.own.own_function import OwnFunction
from afterbase.verify.own.own_process import Asked, Outcome, OwnProcess

_ALL_LATE = 8


class OwnAnswer(NamedTuple):
    """What is to be judged: a whole response to a problem, and how it came about."""

    problem: Problem
    response: str
    context: AnswerContext = NO_CONTEXT


def judge_own(function: OwnFunction, answers: Sequence[OwnAnswer]) -> list[Verdict]:
    """One verdict an answer, in order; several at a time.

    Raises UserError where the function cannot be loaded or called, and where its file has changed since it was found.
    """
    if not answers:
        return []
    outcomes = _pool(function).outcomes([(at, _keywords(answer)) for at, answer in enumerate(answers)])
    return [_verdict(function, outcomes[at]) for at in range(len(answers))]


def refuse_unready(function: OwnFunction) -> None:
    """UserError where the function cannot be loaded, or asks for what there is not; its worker then stays warm."""
    with _pool(function).worker():
        pass


def _keywords(answer: OwnAnswer) -> dict[str, Any]:
    problem, response, context = answer
    thought, said = part(response)
    return {
        "prompt": problem.prompt,
        "response": response,
        "row": problem.spec.get("row", {}),
        "answer": said or "",
        "thought": thought,
        "gold": problem.spec.get("answer", problem.gold),
        "problem_id": problem.id,
        "tokens": context.tokens,
        "truncated": context.truncated,
        "step": context.step,
    }


def _verdict(function: OwnFunction, outcome: Outcome) -> Verdict:
    name = function.shown
    if "failed" in outcome:
        return Verdict(
            verifier=name, status=Status.FAILED, value=0.0, reason=outcome["failed"], detail=outcome["detail"]
        )
    if "verdict" in outcome:
        given = outcome["verdict"]
        return Verdict(verifier=name, status=Status(given["status"]), value=given["value"], reason=given["reason"])
    right = outcome["right"]
    status, reason = (Status.OK, "match") if right else (Status.WRONG, "mismatch")
    return Verdict(verifier=name, status=status, value=outcome["value"], reason=reason)


class _Pool:
    """The workers of one function; each starts when it is first needed, and again after its end."""

    def __init__(self, function: OwnFunction, count: int) -> None:
        self._function = function
        self._idle: queue.LifoQueue[OwnProcess | None] = queue.LifoQueue()  # one that is up comes first
        for _ in range(count):
            self._idle.put(None)
        self._threads = ThreadPoolExecutor(count)

    @contextlib.contextmanager
    def worker(self):
        """A worker with the function loaded."""
        process = self._idle.get()
        try:
            if process is None or not process.alive:
                process = self._started()
            yield process
        finally:
            self._idle.put(process if process is not None and process.alive else None)

    def outcomes(self, asked: list[Asked]) -> dict[int, Outcome]:
        """The outcome of each, by its number."""
        with self.worker() as first:
            together = first.told["batch"] or first.told["async"]
            if together or len(asked) == 1:
                return dict(first.ask(asked))
        known: dict[int, Outcome] = {}

        def one(each: Asked) -> None:
            if len(known) >= _ALL_LATE and all(found.get("failed") == "timeout" for found in list(known.values())):
                detail = f"not called: all {_ALL_LATE} calls before were late"
                known[each[0]] = {"failed": "timeout", "detail": detail}
                return
            with self.worker() as process:
                known.update(process.ask([each]))

        list(self._threads.map(one, asked))
        return {number: known[number] for number, _ in asked}

    def close(self) -> None:
        """End every worker that is idle, which all are when nothing is asked."""
        self._threads.shutdown()
        while not self._idle.empty():
            process = self._idle.get()
            if process is not None:
                process.close()

    def _started(self) -> OwnProcess:
        if not self._function.unchanged():
            raise UserError(
                "the file of one's own reward stays as it is while a command runs",
                got=f"`{self._function.shown}`, which has changed",
                remedy="run the command again",
            )
        return OwnProcess(self._function)


@functools.cache
def _pool(function: OwnFunction) -> _Pool:
    """The process-wide workers of this function."""
    pool = _Pool(function, worker_count())
    atexit.register(pool.close)
    return pool
