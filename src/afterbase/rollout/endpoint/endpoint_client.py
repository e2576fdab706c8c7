"""The client of OpenAI-compatible endpoints, for teachers and judges: many requests together, each answer kept.

A request that fails is a reply with its reason; only what would fail them all (a wrong token, a wrong model) raises.
"""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatRequest, Reply
from afterbase.rollout.endpoint.batch_api import BatchCall
from afterbase.rollout.endpoint.budget import Budget
from afterbase.rollout.endpoint.config import SHOWN, EndpointConfig, headers, refusal
from afterbase.rollout.endpoint.endpoint_call import Call
from afterbase.rollout.endpoint.http_reply import HttpReply, UnfitError
from afterbase.rollout.endpoint.request_cache import RequestCache, is_there, request_key

_GREETING_SECONDS = 10.0


class Endpoint:
    """Asks one endpoint; answers are kept in `cache`, a file or a postgresql:// address, if there is one.

    What they cost is paid from `budget`'s account in the cache, so that a resumed run does not begin to spend again.
    It is no engine: it gives text.

    >>> endpoint = Endpoint(EndpointConfig(url="http://127.0.0.1:8000/v1", model="teacher"), cache="answers.sqlite")
    >>> request = ChatRequest(messages=[{"role": "user", "content": "1 + 1?"}], temperature=1.0, max_tokens=9)
    >>> len(endpoint.missing([request, request]))  # what `complete` would send; nothing is sent here
    1
    """

    def __init__(
        self, config: EndpointConfig, *, cache: Path | str | None = None, budget: Budget | None = None
    ) -> None:
        """Raises UserError where the URL is none or the token's variable is not set."""
        self.config = config
        self._cache = cache
        self._budget = budget
        self._headers = headers(config)

    def describe(self) -> dict[str, Any]:
        """Who this is, for a sample's lineage: not where."""
        return {"name": "endpoint", "model": self.config.model}

    def complete(
        self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        """A reply to each request, in their order; `on_finished` sees each with its index as it comes.

        Equal requests of one `sample` are sent once. Raises UserError where the endpoint refuses the token (401) or
        does not know the model or the path (404); what has come before is in the cache.
        """
        if self.config.batch and self._cache is None:
            raise UserError("batches need a request cache", got="none", remedy="give one, or set `batch = false`")
        with contextlib.ExitStack() as stack:
            cache = None if self._cache is None else stack.enter_context(RequestCache(self._cache))
            if self._budget is not None:
                stack.enter_context(self._budget.use(cache))
            if self.config.batch and cache is not None:
                return BatchCall(self.config, self._headers, requests, on_finished, self._budget).run(cache)
            return _run(Call(self.config, self._headers, requests, on_finished, self._budget), cache)

    def missing(self, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
        """Those of the requests, each once, whose answers are not in the cache; makes no cache where there is none."""
        keys = {request_key(request.body(self.config.model), request.sample): request for request in requests}
        if self._cache is None or not is_there(self._cache):
            return list(keys.values())
        with RequestCache(self._cache) as cache:
            return [request for key, request in keys.items() if cache.get(key) is None]

    def refuse_absent(self) -> None:
        """Raises UserError where nobody answers, the token is refused, or the model is not among those listed.

        An endpoint that lists no models passes.
        """
        try:
            url, wait = f"{self.config.url}/models", _GREETING_SECONDS
            with httpx.stream("GET", url, headers=self._headers, timeout=wait) as response:
                reply = HttpReply(response)
                for piece in response.iter_raw():
                    reply.add(piece)
        except (httpx.HTTPError, UnfitError) as error:
            raise UserError(
                "an endpoint answers before a run that needs it begins",
                got=f"{self.config.url}: {type(error).__name__}: {error}",
                remedy="start it, or correct `url`",
            ) from error
        if response.status_code == 401:
            raise refusal(self.config, 401, reply.text[:SHOWN])
        try:
            names = [entry["id"] for entry in reply.json()["data"]]
        except (ValueError, KeyError, TypeError, UnfitError):
            return
        if self.config.model not in names:
            raise UserError(
                "an endpoint has to know the model",
                got=f"`{self.config.model}` at {self.config.url}",
                remedy=f"use one of {', '.join(map(str, names[:20]))}",
            )


def _run(call: "Call", cache: RequestCache | None) -> list[Reply]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(call.run(cache))
    with concurrent.futures.ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own
        return thread.submit(asyncio.run, call.run(cache)).result()
