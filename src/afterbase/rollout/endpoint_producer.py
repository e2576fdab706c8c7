"""An endpoint as a producer of responses: the teacher of a recipe that is a server somewhere."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.rollout.chat import Answer, ChatRequest, Failure
from afterbase.rollout.endpoint import Endpoint, Result
from afterbase.rollout.producer import Response


@dataclass(frozen=True)
class EndpointProducer:
    """Responses of an endpoint; what it keeps apart as reasoning is no part of them."""

    endpoint: Endpoint
    temperature: float
    max_new_tokens: int

    def describe(self) -> dict[str, Any]:
        return {
            "name": "endpoint",
            "model": self.endpoint.config.model,
            "temperature": self.temperature,
            "max_new_tokens": self.max_new_tokens,
        }

    def respond(
        self,
        problems: Sequence[Problem],
        *,
        system: str | None,
        samples: int,
        seed: int,
        on_finished: Callable[[], None] | None = None,
    ) -> list[list[Response]]:
        """As [problem][sample]. Raises UserError, after all have been asked, where some have no answer."""
        head = [{"role": "system", "content": system}] if system is not None else []
        requests = [
            ChatRequest(
                messages=[*head, {"role": "user", "content": problem.prompt}],
                temperature=self.temperature,
                max_tokens=self.max_new_tokens,
                seed=seed,
                sample=sample,
            )
            for problem in problems
            for sample in range(samples)
        ]
        results = self.endpoint.complete(
            requests, on_finished=None if on_finished is None else lambda _index, _result: on_finished()
        )
        responses = [_response(result) for result in _answers(results)]
        return [responses[start : start + samples] for start in range(0, len(responses), samples)]


def _answers(results: Sequence[Result]) -> list[Answer]:
    answers = [result for result in results if isinstance(result, Answer)]
    failures = [result for result in results if isinstance(result, Failure)]
    if failures:
        reasons = Counter(str(failure.reason) for failure in failures).most_common()
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons)
        raise UserError(
            "every request to a producer needs an answer",
            got=f"{len(failures)} of {len(results)} without one ({counts}); the last: {failures[-1].detail}",
            remedy="run again: with a request cache only what is missing is asked",
        )
    return answers


def _response(answer: Answer) -> Response:
    return Response(text=answer.text, tokens=answer.tokens, truncated=answer.truncated)
