"""Answers to the questions of a benchmark, from a model or an endpoint: limits on length, and what does not fit.

An answer may be as long as the benchmark allows, and no longer than the model's context leaves room for after the
prompt. A question that leaves no room at all has no answer: it is counted as wrong, as `too_long`. A model without a
chat template gets at most half its context for the answer, and a longer prompt than the rest is too long.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.subject import Subject
from afterbase.rollout.chat_model import ChatModel, ChatRequest, Failure, Reason, Reply
from afterbase.rollout.problem_replies import failure_counts

# In the words of OpenAI and `afterbase serve`, of vLLM, and of others.
_TOO_LONG = re.compile(r"context_length_exceeded|maximum context length|context (?:length|window|size)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt and how it is answered; `run` tells repeated answers apart."""

    prompt: str
    temperature: float
    run: int = 0


def answers(
    subject: Subject,
    asked: ChatModel,
    questions: Sequence[Question],
    *,
    max_tokens: int,
    seed: int,
    on_answered: Callable[[int], None] | None = None,
) -> list[Reply]:
    """A reply to each question, a failure where the prompt does not fit; `on_answered` is told how many answers came.

    Raises UserError, after all have been asked, where some have no answer: those that have one are kept, and asking
    again asks for the others alone.
    """
    limit = _limit(subject, max_tokens)
    done = 0

    def tell(_: int, reply: Reply) -> None:
        nonlocal done
        if not _does_not_fit(reply.failure):
            done += 1
            if on_answered is not None:
                on_answered(done)

    replies = asked.complete([_request(q, subject, limit, seed) for q in questions], on_finished=tell)
    crowded = [place for place, reply in enumerate(replies) if _does_not_fit(reply.failure)]
    if crowded and limit is not None and not subject.plain:
        again = asked.complete([_request(questions[i], subject, None, seed) for i in crowded], on_finished=tell)
        for place, reply in zip(crowded, again, strict=True):
            replies[place] = reply
    _refuse_missing(replies)
    return replies


def shown(reply: Reply) -> str:
    """What a judge is shown of an answer, and whose length counts: the text without its thought."""
    return reply.answer or ""


def _limit(subject: Subject, max_tokens: int) -> int | None:
    """What is sent as the limit; None asks for all that fits, which the API of plain completions has no word for."""
    if subject.context is None or max_tokens < subject.context:
        return max_tokens
    return subject.context // 2 if subject.plain else None


def _request(question: Question, subject: Subject, max_tokens: int | None, seed: int) -> ChatRequest:
    return ChatRequest(
        messages=[{"role": "user", "content": question.prompt}],
        temperature=question.temperature,
        max_tokens=max_tokens,
        seed=None if question.temperature == 0 else seed,
        sample=question.run,
        plain=subject.plain,
    )


def _does_not_fit(failure: Failure | None) -> bool:
    return failure is not None and (
        failure.reason is Reason.TOO_LONG
        or (failure.reason is Reason.REFUSED and _TOO_LONG.search(failure.detail) is not None)
    )


def _refuse_missing(replies: Sequence[Reply]) -> None:
    failures = [r.failure for r in replies if r.failure is not None and not _does_not_fit(r.failure)]
    if not failures:
        return
    counts = ", ".join(f"{count} {reason}" for reason, count in failure_counts(failures))
    no_template = "chat template" in failures[-1].detail
    raise UserError(
        "every question to a model gets an answer",
        got=f"{len(failures)} of {len(replies)} without one ({counts}); the last: {failures[-1].detail}",
        remedy="a model without a chat template is asked with --plain"
        if no_template
        else "run again: what has been answered is kept, and only the rest is asked",
    )
