"""The client of OpenAI-compatible endpoints, for teachers and judges: many chat requests at once, kept as they come.

A request that fails is a result with its reason; only what would fail them all (a wrong token, a wrong model) raises.
"""

import asyncio
import concurrent.futures
import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
from annotated_types import Ge, Gt

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.rollout.budget import Budget
from afterbase.rollout.cache import RequestCache, canonical, request_key
from afterbase.rollout.chat import Answer, ChatRequest, Failure, Reason, UnreadableError, answer_of
from afterbase.rollout.pace import Pace, backoff, retry_after

Result = Answer | Failure
_RETRIED = (408, 409, 425, 429)  # and every 5xx


class EndpointConfig(Config):
    """An endpoint: `url` up to and including `/v1`, the model's name there.

    `token_variable` names the environment variable that holds the token. `request_timeout` bounds one attempt,
    `deadline` all requests of a call together, both in seconds; `first_wait` is the wait before the first of `retries`
    further attempts.
    """

    url: How[str]
    model: str
    token_variable: How[str | None] = None
    max_concurrent: How[Annotated[int, Ge(1)]] = 32
    request_timeout: How[Annotated[float, Gt(0)]] = 300.0
    deadline: How[Annotated[float, Gt(0)] | None] = None
    retries: How[Annotated[int, Ge(0)]] = 6
    first_wait: How[Annotated[float, Ge(0)]] = 1.0


class Endpoint:
    """Asks one endpoint; answers are kept in the file `cache` if there is one. It is no engine: it gives text.

    A `budget` is charged with all that is in the cache, so that a resumed run does not begin to spend anew.
    """

    def __init__(self, config: EndpointConfig, *, cache: Path | None = None, budget: Budget | None = None) -> None:
        """Raises UserError where the URL is none or the token's variable is not set."""
        self.config = config
        self._cache = cache
        self._budget = budget
        self._headers = {"Content-Type": "application/json", **_bearer(config)}
        if not re.match(r"https?://[^/]", config.url):
            raise UserError(
                "an endpoint's `url` begins with http:// or https://",
                got=f"`{config.url}`",
                remedy="write it up to and including /v1, such as http://127.0.0.1:8000/v1",
            )
        if budget is not None and cache is not None:
            with RequestCache(cache) as kept:
                budget.count(kept.bodies())

    def complete(
        self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Result], None] | None = None
    ) -> list[Result]:
        """A result for each request, in their order; `on_finished` sees each with its index as it comes.

        Raises UserError where the endpoint refuses the token (401) or does not know the model or the path (404);
        what has come before is in the cache.
        """
        call = _Call(self.config, self._headers, requests, on_finished, self._budget)
        if self._cache is None:
            return _run(call, None)
        with RequestCache(self._cache) as cache:
            return _run(call, cache)


def _bearer(config: EndpointConfig) -> dict[str, str]:
    if config.token_variable is None:
        return {}
    token = os.environ.get(config.token_variable)
    if not token:
        raise UserError(
            "`token_variable` names an environment variable that holds the endpoint's token",
            got=f"`{config.token_variable}`, which is not set",
            remedy=f"export {config.token_variable}=..., or leave `token_variable` out if {config.url} wants none",
        )
    return {"Authorization": f"Bearer {token}"}


def _run(call: "_Call", cache: RequestCache | None) -> list[Result]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(call.run(cache))
    with concurrent.futures.ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own
        return thread.submit(asyncio.run, call.run(cache)).result()


@dataclass(frozen=True)
class _Again:
    """An attempt that may be repeated: what it would fail with, and the seconds that the server asks for."""

    failure: Failure
    retry_after: float | None = None


def _settle(budget: Budget, held: tuple[int, int], got: dict[str, Any] | Failure | _Again) -> None:
    """What an attempt that broke off has cost is not known: it stays at its most."""
    if isinstance(got, dict):
        budget.settle(held, got)
    elif (got.failure if isinstance(got, _Again) else got).reason in (Reason.OVERLOADED, Reason.REFUSED):
        budget.settle(held, None)


class _Call:
    """One call of `complete`."""

    def __init__(
        self,
        config: EndpointConfig,
        headers: dict[str, str],
        requests: Sequence[ChatRequest],
        on_finished: Callable[[int, Result], None] | None,
        budget: Budget | None,
    ) -> None:
        self._budget = budget
        self._config = config
        self._headers = headers
        self._requests = requests
        self._on_finished = on_finished
        self._results: dict[int, Result] = {}

    async def run(self, cache: RequestCache | None) -> list[Result]:
        pending = [index for index, request in enumerate(self._requests) if not self._known(index, request, cache)]
        if pending:
            await self._ask_all(pending, cache)
        for index in pending:
            if index not in self._results:
                self._finish(index, Failure(reason=Reason.DEADLINE, detail=f"after {self._config.deadline} s in all"))
        return [self._results[index] for index in range(len(self._requests))]

    def _known(self, index: int, request: ChatRequest, cache: RequestCache | None) -> bool:
        kept = cache.get(request_key(request.body(self._config.model), request.sample)) if cache is not None else None
        if kept is not None:
            self._finish(index, answer_of(kept.body))
        return kept is not None

    async def _ask_all(self, pending: list[int], cache: RequestCache | None) -> None:
        most = self._config.max_concurrent
        pace, waiting = Pace(most), iter(pending)
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        async with httpx.AsyncClient(
            base_url=self._config.url, headers=self._headers, timeout=None, limits=limits
        ) as client:
            try:
                async with asyncio.timeout(self._config.deadline), asyncio.TaskGroup() as group:
                    for _ in range(min(most, len(pending))):
                        group.create_task(self._work(client, pace, waiting, cache))
            except TimeoutError:
                pass  # what is left has no result, and gets its failure from the caller
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _work(
        self, client: httpx.AsyncClient, pace: Pace, waiting: Iterator[int], cache: RequestCache | None
    ) -> None:
        """One of several workers: the next request, until there is none."""
        for index in waiting:
            request = self._requests[index]
            body = request.body(self._config.model)
            got = await self._ask(client, pace, body, request.sample)
            if isinstance(got, Failure):
                self._finish(index, got)
                continue
            if cache is not None:
                tokens = answer_of(got).tokens
                got = cache.put(request_key(body, request.sample), got, tokens=tokens).body
            self._finish(index, answer_of(got))

    def _finish(self, index: int, result: Result) -> None:
        self._results[index] = result
        if self._on_finished is not None:
            self._on_finished(index, result)

    async def _ask(
        self, client: httpx.AsyncClient, pace: Pace, body: dict[str, Any], sample: int
    ) -> dict[str, Any] | Failure:
        jitter = random.Random(request_key(body, sample))
        for attempt in range(self._config.retries + 1):
            async with pace.turn() as turn:
                held = self._budget.hold(body) if self._budget is not None else None
                if self._budget is not None and held is None:
                    return Failure(reason=Reason.BUDGET, detail=str(self._budget))
                got = await self._attempt(client, body)
                if self._budget is not None and held is not None:
                    _settle(self._budget, held, got)
                if isinstance(got, _Again) and got.failure.reason is not Reason.MALFORMED:
                    pace.overloaded(turn, retry_after=got.retry_after)
                elif isinstance(got, dict):
                    pace.succeeded()
            if not isinstance(got, _Again):
                return got
            if attempt < self._config.retries and got.retry_after is None:
                await asyncio.sleep(backoff(attempt, first=self._config.first_wait, random=jitter))
        assert isinstance(got, _Again)
        return got.failure

    async def _attempt(self, client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any] | Failure | _Again:
        try:
            async with asyncio.timeout(self._config.request_timeout):
                path = "/chat/completions" if "messages" in body else "/completions"
                response = await client.post(path, content=canonical(body))
        except TimeoutError:
            return _Again(Failure(reason=Reason.TIMEOUT, detail=f"no answer in {self._config.request_timeout} s"))
        except httpx.HTTPError as error:
            return _Again(Failure(reason=Reason.CONNECTION, detail=f"{type(error).__name__}: {error}"))
        status, said = response.status_code, response.text[:500]
        if status in (401, 404):
            raise self._refusal(status, said)
        if status in _RETRIED or status >= 500:
            failure = Failure(reason=Reason.OVERLOADED, detail=f"HTTP {status}: {said}")
            return _Again(failure, retry_after(response.headers.get("retry-after")))
        if status != 200:
            return Failure(reason=Reason.REFUSED, detail=f"HTTP {status}: {said}")
        try:
            answered = response.json()
            answer_of(answered)
        except (ValueError, UnreadableError) as error:
            return _Again(Failure(reason=Reason.MALFORMED, detail=f"{error}: {said}"))
        return answered

    def _refusal(self, status: int, said: str) -> UserError:
        if status == 404:
            rule = "an endpoint has to know the model and the path"
            remedy = (
                f"look up the model's name at {self._config.url}/models, and end `url` in /v1 if the server wants it"
            )
        else:
            variable = self._config.token_variable
            rule = "an endpoint has to accept the token"
            remedy = f"put a valid one into {variable}" if variable else "name the token's variable in `token_variable`"
        return UserError(rule, got=f"HTTP {status} for model `{self._config.model}`: {said}", remedy=remedy)
