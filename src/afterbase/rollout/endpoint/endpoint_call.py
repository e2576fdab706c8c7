"""One call of many requests to an endpoint: workers that claim, ask, try again, keep and report, each for itself."""

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from afterbase.rollout.chat_model import ChatRequest, Failure, Reason, Reply
from afterbase.rollout.endpoint.budget import Budget
from afterbase.rollout.endpoint.concurrency import Concurrency, backoff, retry_after
from afterbase.rollout.endpoint.config import SHOWN, EndpointConfig, refusal
from afterbase.rollout.endpoint.http_reply import HttpReply, UnfitError, read
from afterbase.rollout.endpoint.reply_body import UnreadableError, reply_of
from afterbase.rollout.endpoint.request_cache import RequestCache, canonical, request_key

_RETRIED = (408, 409, 425, 429)  # and every 5xx
_LONGEST_RETRY_AFTER = 3600.0  # seconds
_MOST_IN_A_ROW = 32  # requests that fail one after the other, retries and all, before the rest is given up
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 1.0  # seconds, while another process asks the same


@dataclass(frozen=True)
class _Again:
    """An attempt that may be repeated: what it would fail with, and the seconds that the server asks for."""

    failure: Failure
    retry_after: float | None = None


class Call:
    """One call of `complete`."""

    def __init__(
        self,
        config: EndpointConfig,
        headers: dict[str, str],
        requests: Sequence[ChatRequest],
        on_finished: Callable[[int, Reply], None] | None,
        budget: Budget | None,
    ) -> None:
        self._config = config
        self._headers = headers
        self._requests = requests
        self._on_finished = on_finished
        self._budget = budget
        self._replies: dict[int, Reply] = {}
        self._given_back = asyncio.Condition()
        self._rest: Failure | None = None
        """Once set, nothing more is sent, and what is left fails with this; what is under way may end."""
        self._succeeded = False
        self._failed_in_a_row = 0

    async def run(self, cache: RequestCache | None) -> list[Reply]:
        places: dict[str, list[int]] = {}
        for index, request in enumerate(self._requests):
            places.setdefault(request_key(request.body(self._config.model), request.sample), []).append(index)
        pending = {key: indices for key, indices in places.items() if not self._known(key, indices, cache)}
        if pending:
            await self._ask_all(pending, cache)
        rest = self._rest or Failure(reason=Reason.DEADLINE, detail=f"after {self._config.deadline} s in all")
        for indices in pending.values():
            if indices[0] not in self._replies:
                self._finish(indices, Reply(failure=rest))
        return [self._replies[index] for index in range(len(self._requests))]

    def _known(self, key: str, indices: list[int], cache: RequestCache | None) -> bool:
        kept = cache.get(key) if cache is not None else None
        if kept is not None:
            self._finish(indices, reply_of(kept.body))
        return kept is not None

    async def _ask_all(self, pending: dict[str, list[int]], cache: RequestCache | None) -> None:
        most = self._config.max_concurrent
        concurrency, waiting = Concurrency(most), deque(pending.items())
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        async with httpx.AsyncClient(
            base_url=self._config.url, headers=self._headers, timeout=None, limits=limits
        ) as client:
            try:
                async with asyncio.timeout(self._config.deadline), asyncio.TaskGroup() as group:
                    for _ in range(min(most, len(pending))):
                        group.create_task(self._work(client, concurrency, waiting, cache))
            except TimeoutError:
                pass  # what is left has no result, and gets its failure from the caller
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None

    async def _work(
        self,
        client: httpx.AsyncClient,
        concurrency: Concurrency,
        waiting: deque[tuple[str, list[int]]],
        cache: RequestCache | None,
    ) -> None:
        """One of several workers: the next request, until there is none; those that another process asks come last."""
        passed, pause = 0, _FIRST_PAUSE
        while waiting and self._rest is None:
            key, indices = waiting.popleft()
            if cache is None:
                await self._settle(client, concurrency, key, indices, None)
            elif cache.claim(key):
                passed, pause = 0, _FIRST_PAUSE
                try:
                    if not self._known(key, indices, cache):
                        await self._settle(client, concurrency, key, indices, cache)
                finally:
                    cache.release(key)
            else:
                waiting.append((key, indices))
                passed += 1
                if passed >= len(waiting):  # all that is left is being asked by others
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)

    async def _settle(
        self,
        client: httpx.AsyncClient,
        concurrency: Concurrency,
        key: str,
        indices: list[int],
        cache: RequestCache | None,
    ) -> None:
        """Ask, and keep what comes."""
        request = self._requests[indices[0]]
        got, held = await self._ask(client, concurrency, request.body(self._config.model), key)
        if isinstance(got, dict):
            # What is given back and what is paid change together: nobody else may run in between.
            budget = self._budget if held is not None else None
            spent = None if budget is None or held is None else budget.settle(held, got)
            if cache is not None:
                account = "" if budget is None else budget.account
                got = cache.put(key, got, tokens=reply_of(got).tokens, account=account, spent=spent).body
            await self._tell()
        if isinstance(got, dict):
            self._succeeded, self._failed_in_a_row = True, 0
            self._finish(indices, reply_of(got))
            return
        self._finish(indices, Reply(failure=got))
        # Refusals are about a request each, unless none was ever answered.
        if got.reason is not Reason.REFUSED or not self._succeeded:
            self._failed_in_a_row += 1
        if self._failed_in_a_row >= _MOST_IN_A_ROW:
            said = f"{self._failed_in_a_row} requests in a row failed, the last as {got.reason}: {got.detail}"
            self._rest = self._rest or Failure(reason=Reason.ABANDONED, detail=said)

    def _finish(self, indices: list[int], reply: Reply) -> None:
        for index in indices:
            self._replies[index] = reply
            if self._on_finished is not None:
                self._on_finished(index, reply)

    async def _ask(
        self, client: httpx.AsyncClient, concurrency: Concurrency, body: dict[str, Any], key: str
    ) -> tuple[dict[str, Any] | Failure, tuple[int, int] | None]:
        """What comes in the end, and what is set aside for it in the budget."""
        jitter, got = random.Random(key), None
        for attempt in range(self._config.retries + 1):
            async with concurrency.turn() as turn:
                held = await self._hold(body)
                if self._budget is not None and held is None:
                    self._rest = self._rest or Failure(reason=Reason.BUDGET, detail=str(self._budget))
                    return self._rest, None
                got = await self._attempt(client, body)
                if isinstance(got, _Again) and got.failure.reason is not Reason.MALFORMED:
                    concurrency.overloaded(turn, retry_after=got.retry_after)
                elif isinstance(got, dict):
                    concurrency.succeeded()
            if isinstance(got, dict):
                return got, held
            await self._lost(held, got)
            if not isinstance(got, _Again):
                return got, None
            if self._rest is not None:
                break
            if attempt < self._config.retries and got.retry_after is None:
                await asyncio.sleep(backoff(attempt, first=self._config.first_wait, random=jitter))
        assert isinstance(got, _Again)
        return got.failure, None

    async def _hold(self, body: dict[str, Any]) -> tuple[int, int] | None:
        """Set aside what an attempt may cost, once others under way have given back what they do not need."""
        budget = self._budget
        if budget is None:
            return None
        held: tuple[int, int] | None = None

        def decided() -> bool:
            nonlocal held
            held = budget.hold(body)
            return held is not None or not budget.under_way

        async with self._given_back:
            await self._given_back.wait_for(decided)
        return held

    async def _lost(self, held: tuple[int, int] | None, got: Failure | _Again) -> None:
        """What an attempt that broke off has cost is not known: it stays at its most."""
        if self._budget is None or held is None:
            return
        reason = got.failure.reason if isinstance(got, _Again) else got.reason
        if reason in (Reason.OVERLOADED, Reason.REFUSED):
            self._budget.settle(held, None)
        else:
            self._budget.lose(held)
        await self._tell()

    async def _tell(self) -> None:
        """Those who wait for something to be given back."""
        async with self._given_back:
            self._given_back.notify_all()

    async def _attempt(self, client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any] | Failure | _Again:
        try:
            async with asyncio.timeout(self._config.request_timeout):
                path = "/chat/completions" if "messages" in body else "/completions"
                async with client.stream("POST", path, content=canonical(body)) as response:
                    reply = await read(response)
        except TimeoutError:
            return _Again(Failure(reason=Reason.TIMEOUT, detail=f"no answer in {self._config.request_timeout} s"))
        except httpx.HTTPError as error:
            return _Again(Failure(reason=Reason.CONNECTION, detail=f"{type(error).__name__}: {error}"))
        except UnfitError as error:
            return Failure(reason=Reason.MALFORMED, detail=str(error))
        said = reply.text[:SHOWN]
        if response.status_code != 200:
            return self._refused(response.status_code, said, response.headers.get("retry-after"))
        return self._read(reply, said)

    def _refused(self, status: int, said: str, wait: str | None = None) -> Failure | _Again:
        if status in (401, 404):
            raise refusal(self._config, status, said)
        if status in _RETRIED or status >= 500:
            failure = Failure(reason=Reason.OVERLOADED, detail=f"HTTP {status}: {said}")
            asked = retry_after(wait)
            if asked is not None and asked > _LONGEST_RETRY_AFTER:  # a quota of days is no overload
                return Failure(reason=Reason.OVERLOADED, detail=f"to be asked again in {asked:.0f} s: {said}")
            return _Again(failure, asked)
        return Failure(reason=Reason.REFUSED, detail=f"HTTP {status}: {said}")

    def _read(self, reply: HttpReply, said: str) -> dict[str, Any] | Failure | _Again:
        """What comes with status 200: a completion, or an error all the same. What was paid is not asked again."""
        try:
            answered = reply.json()
            if isinstance(answered, dict) and answered.get("error") and not answered.get("choices"):
                return self._refused(_status(answered["error"]), said)
            reply_of(answered)
        except UnfitError as error:
            return Failure(reason=Reason.MALFORMED, detail=f"{error}: {said}")
        except UnreadableError as error:
            failure = Failure(reason=Reason.MALFORMED, detail=f"{error}: {said}")
            return failure if error.worked else _Again(failure)
        except json.JSONDecodeError as error:
            return _Again(Failure(reason=Reason.MALFORMED, detail=f"{error}: {said}"))
        return answered


def _status(error: Any) -> int:
    """The status that an error in a body stands for; 500 where it does not say."""
    code = error.get("code", error.get("status")) if isinstance(error, dict) else None
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    if isinstance(code, int) and 400 <= code < 600:
        return code
    refused = isinstance(error, dict) and error.get("type") == "invalid_request_error"
    return 400 if refused else 500
