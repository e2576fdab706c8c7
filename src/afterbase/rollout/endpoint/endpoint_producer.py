"""An endpoint as a producer of responses: the teacher of a recipe that is a server somewhere."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.rollout.endpoint.chat_request import ChatRequest, Failure, Reason
from afterbase.rollout.endpoint.endpoint_call import Result
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.producer import Response

_UNASKED = (Reason.DEADLINE, Reason.ABANDONED, Reason.BUDGET)


@dataclass(frozen=True)
class EndpointProducer:
    """Responses of an endpoint; a share of `most_failed` requests at most may stay without one."""

    endpoint: Endpoint
    temperature: float
    max_new_tokens: int
    most_failed: float = 0.0

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
        """As [problem][sample]; a request that failed is a response with its failure.

        Raises UserError, once all have been asked, where more failed than may, and where the rest was not asked: what
        came is kept, and the same call goes on from there.
        """
        results = self.endpoint.complete(
            self.requests(problems, system=system, samples=samples, seed=seed),
            on_finished=None if on_finished is None else lambda _index, _result: on_finished(),
        )
        self._refuse(results)
        responses = [_response(result) for result in results]
        return [responses[start : start + samples] for start in range(0, len(responses), samples)]

    def requests(
        self, problems: Sequence[Problem], *, system: str | None, samples: int, seed: int
    ) -> list[ChatRequest]:
        """What is asked, problem by problem."""
        head = [{"role": "system", "content": system}] if system is not None else []
        return [
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

    def _refuse(self, results: Sequence[Result]) -> None:
        failures = [result for result in results if isinstance(result, Failure)]
        unasked = [failure for failure in failures if failure.reason in _UNASKED]
        if not unasked and len(failures) <= self.most_failed * len(results):
            return
        last = (unasked or failures)[-1]
        reasons = Counter(str(failure.reason) for failure in failures).most_common()
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons)
        remedy = "run again: with a request cache only what is missing is asked"
        if last.reason is Reason.BUDGET:
            remedy = "raise `max_cost` and run again: what came is kept, and only what is missing is asked"
        elif last.reason is Reason.REFUSED:
            remedy = "correct what the endpoint refuses, or raise `most_failed` to go on without those answers"
        raise UserError(
            "every request to a producer needs an answer"
            if not self.most_failed
            else f"a share of {self.most_failed:g} of the requests to a producer may stay without an answer",
            got=f"{len(failures)} of {len(results)} without one ({counts}); the last: {last.detail}",
            remedy=remedy,
        )


def _response(result: Result) -> Response:
    if isinstance(result, Failure):
        return Response(text="", tokens=0, truncated=False, failure=str(result.reason))
    return Response(text=result.text, tokens=result.tokens, truncated=result.truncated, reasoning=result.reasoning)
