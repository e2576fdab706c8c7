"""Answers to the questions of a benchmark, from a model or an endpoint: limits on length, and what does not fit.

An answer may be as long as the benchmark allows, and no longer than the model's context leaves room for after the
prompt. A question that leaves no room at all has no answer: it is counted as wrong, as `too_long`. A model without a
chat template gets at most half its context for the answer, and a longer prompt than the rest is too long.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from afterbase.core.errors import UserError
from afterbase.core.reasoning import answer_of
from afterbase.eval.benchmarks.subject import Answering, Subject
from afterbase.rollout.endpoint.chat_request import Answer, ChatRequest, Failure, Reason
from afterbase.rollout.endpoint.endpoint_client import Result

# In the words of OpenAI and `afterbase serve`, of vLLM, and of others.
_TOO_LONG = re.compile(r"context_length_exceeded|maximum context length|context (?:length|window|size)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt and how it is answered; `run` tells repeated answers apart."""

    prompt: str
    temperature: float
    run: int = 0


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response, its length in tokens, and whether a limit cut it off; `too_long`: the prompt did not fit."""

    text: str
    tokens: int
    truncated: bool
    too_long: bool = False

    @property
    def answer(self) -> str | None:
        """The text without its thought; None where the thought never ends."""
        return answer_of(self.text)

    @property
    def shown(self) -> str:
        """What a judge is shown of it, and whose length counts."""
        return self.answer or ""


def answers(
    subject: Subject,
    asked: Answering,
    questions: Sequence[Question],
    *,
    max_tokens: int,
    seed: int,
    on_answered: Callable[[int], None] | None = None,
) -> list[Response]:
    """A response to each question; `on_answered` is told how many there are after each.

    Raises UserError, after all have been asked, where some have no answer: those that have one are kept, and asking
    again asks for the others alone.
    """
    limit = _limit(subject, max_tokens)
    done = 0

    def tell(_: int, result: Result) -> None:
        nonlocal done
        if not _does_not_fit(result):
            done += 1
            if on_answered is not None:
                on_answered(done)

    results = asked.complete([_request(q, subject, limit, seed) for q in questions], on_finished=tell)
    crowded = [place for place, result in enumerate(results) if _does_not_fit(result)]
    if crowded and limit is not None and not subject.plain:
        again = asked.complete([_request(questions[i], subject, None, seed) for i in crowded], on_finished=tell)
        for place, result in zip(crowded, again, strict=True):
            results[place] = result
    _refuse_missing(results)
    return [_response(result) for result in results]


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


def _does_not_fit(result: Result) -> bool:
    return (
        isinstance(result, Failure) and result.reason is Reason.REFUSED and _TOO_LONG.search(result.detail) is not None
    )


def _refuse_missing(results: Sequence[Result]) -> None:
    failures = [result for result in results if isinstance(result, Failure) and not _does_not_fit(result)]
    if not failures:
        return
    counts = Counter(str(failure.reason) for failure in failures).most_common()
    no_template = "chat template" in failures[-1].detail
    raise UserError(
        "every question to a model gets an answer",
        got=f"{len(failures)} of {len(results)} without one ({', '.join(f'{n} {reason}' for reason, n in counts)}); "
        f"the last: {failures[-1].detail}",
        remedy="a model without a chat template is asked with --plain"
        if no_template
        else "run again: what has been answered is kept, and only the rest is asked",
    )


def _response(result: Result) -> Response:
    if isinstance(result, Answer):
        return Response(text=result.text, tokens=result.tokens, truncated=result.truncated)
    return Response(text="", tokens=0, truncated=False, too_long=True)
