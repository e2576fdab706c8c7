"""A model whose weights are in this process, asked as an endpoint is; it samples here, or at a vLLM server.

With `as_served` its answers are those of `afterbase serve`: each request is sampled by itself, with the seed that is
sent, and its text is spelt as a stream is. They can differ where two tokens are equally probable to the last digit of
float32, since sums are taken in another order in batches of another size. Without, requests that differ in `sample`
alone, one after the other from 0 on, are samples of one prompt, which is read once.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.chat_model import ChatRequest, Failure, Reason, Reply
from afterbase.rollout.endpoint.reply_body import reply_of
from afterbase.rollout.endpoint.request_cache import RequestCache, request_key
from afterbase.rollout.engine import Completion, Engine, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.server.incremental_text import IncrementalText, TokenBytes
from afterbase.rollout.server.openai_api import chat_logprobs
from afterbase.rollout.server.sample_request import Token
from afterbase.rollout.vllm.vllm_engine import VllmEngine

Finish = Callable[[int, Reply], None]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A prompt and the places of the requests that are its samples."""

    prompt: list[int]
    limit: int
    places: list[int]


class EngineModel:
    """A `ChatModel` of a loaded model; `name`, a digest or an artifact's key, stands for it in lineage and cache.

    `engine_url` is a vLLM server's (`afterbase serve-rollouts`), whose token is in AFTERBASE_ROLLOUT_TOKEN. What does
    not fit in `context` with its limit is refused; None leaves that to the engine. A cache needs `as_served`.

    >>> from afterbase.model.folders import find
    >>> from afterbase.model.load import load
    >>> model = EngineModel(load(find("tiny-v3")), name="tiny-v3", context=64)
    >>> request = ChatRequest(messages=[{"role": "user", "content": "1 + 1?"}], temperature=1.0, max_tokens=4, seed=0)
    >>> replies = model.complete([replace(request, sample=sample) for sample in range(3)])
    >>> [reply.tokens for reply in replies], model.complete([replace(request, max_tokens=64)])[0].failure.reason.value
    ([4, 4, 4], 'too_long')
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        name: str,
        engine_url: str | None = None,
        context: int | None = None,
        as_served: bool = False,
        cache: Path | None = None,
    ) -> None:
        """Raises UserError where the local engine cannot run the model."""
        assert as_served or cache is None, "a part of a prompt's samples cannot be sampled by itself"
        self._lm = lm
        self._name = name
        self._engine_url = engine_url
        self._engine = LocalEngine(lm.model) if engine_url is None else None
        self._stop_ids = stop_token_ids(lm)
        self._context = context
        self._token_bytes = TokenBytes(lm.tokenizer) if as_served else None
        self._cache = cache

    def describe(self) -> dict[str, Any]:
        return {"name": "model", "checkpoint": self._name}

    def complete(self, requests: Sequence[ChatRequest], *, on_finished: Finish | None = None) -> list[Reply]:
        """As `ChatModel`; a prompt that does not fit, or that the chat template does not take, is a failure."""
        replies: dict[int, Reply] = {}

        def finish(index: int, reply: Reply) -> None:
            replies[index] = reply
            if on_finished is not None:
                on_finished(index, reply)

        with ExitStack() as stack:
            cache = None if self._cache is None else stack.enter_context(RequestCache(self._cache))
            batches = self._batches(requests, cache, finish)
            engine = self._opened(stack) if batches else None
            for (temperature, seed, samples, top_logps), asked in batches.items():
                assert engine is not None
                sampling = Sampling(
                    temperature=temperature,
                    max_new_tokens=max(one.limit for one in asked),  # others are cut to their own
                    stop_token_ids=self._stop_ids,
                    seed=seed,
                    top_logps=top_logps,
                )
                for ended in engine.stream([one.prompt for one in asked], samples=samples, sampling=sampling):
                    one = asked[ended.prompt_index]
                    place = one.places[ended.sample_index]
                    reply = self._reply(ended, one.limit, requests[place])
                    finish(place, self._kept(requests[place], reply, ended, cache))
        return [replies[index] for index in range(len(requests))]

    def _opened(self, stack: ExitStack) -> Engine:
        if self._engine is not None:
            return self._engine
        assert self._engine_url is not None
        engine = VllmEngine(self._engine_url, self._lm, token=os.environ.get("AFTERBASE_ROLLOUT_TOKEN"))
        stack.callback(engine.close)
        engine.sync(0)
        return engine

    def _batches(
        self, requests: Sequence[ChatRequest], cache: RequestCache | None, finish: Finish
    ) -> dict[tuple[float, int, int, int], list[_Asked]]:
        """What has no reply yet, by what a batch has in common: temperature, seed, samples of a prompt, candidates."""
        batches = defaultdict(list)
        for places in self._samples_of_prompts(requests):
            request = requests[places[0]]
            assert not request.stop, "no stop texts in process"
            assert request.top_logprobs is None or self._token_bytes, "log-probabilities are spelt as a server spells"
            known = cache.get(request_key(request.body(self._name), request.sample)) if cache is not None else None
            asked = reply_of(known.body) if known is not None else self._asked(request, places)
            if isinstance(asked, Reply):
                for place in places:
                    finish(place, asked)
                continue
            seed = request.body("")["seed"] if self._token_bytes and request.seed is not None else request.seed or 0
            batches[(request.temperature, seed, len(places), request.top_logprobs or 0)].append(asked)
        return batches

    def _samples_of_prompts(self, requests: Sequence[ChatRequest]) -> list[list[int]]:
        if self._token_bytes is not None:
            return [[place] for place in range(len(requests))]
        groups: list[list[int]] = []
        for place, request in enumerate(requests):
            if request.sample == 0:
                groups.append([])
            groups[-1].append(place)
        return groups

    def _asked(self, request: ChatRequest, places: list[int]) -> _Asked | Reply:
        try:
            if request.plain:
                prompt = self._lm.tokenizer(request.text, verbose=False)["input_ids"]
                assert isinstance(prompt, list)
            else:
                prompt = prompt_ids(self._lm.tokenizer, request.messages)
        except UserError as error:
            return _failed(Reason.NOT_RENDERED, f"the model's chat template refuses: {error}")
        if not prompt:
            return _failed(Reason.REFUSED, "an empty prompt")
        assert request.max_tokens is not None or self._context is not None, "an answer ends somewhere"
        limit = request.max_tokens or max(1, (self._context or 0) - len(prompt))
        if self._context is not None and len(prompt) + limit > self._context:
            said = f"a prompt of {len(prompt)} tokens and {limit} more in a context of {self._context}"
            return _failed(Reason.TOO_LONG, said)
        return _Asked(prompt=prompt, limit=limit, places=places)

    def _reply(self, completion: Completion, limit: int, request: ChatRequest) -> Reply:
        if len(completion.token_ids) > limit:
            completion = replace(completion, token_ids=completion.token_ids[:limit], finish=FinishReason.LENGTH)
        ids = completion.token_ids
        if self._token_bytes is None:
            text = text_of(self._lm, completion)
        else:
            spelt = IncrementalText(self._token_bytes, continues=request.plain)
            text = spelt.add(*(i for i in ids if i not in self._stop_ids)) + spelt.end()
        return Reply(text=text, tokens=len(ids), finish=str(completion.finish), token_ids=tuple(ids))

    def _kept(self, request: ChatRequest, reply: Reply, completion: Completion, cache: RequestCache | None) -> Reply:
        """The reply in the form of a server's, put into the cache; another process's reply may have been first."""
        if cache is None and request.top_logprobs is None:
            return reply
        message = {"role": "assistant", "content": reply.text}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        if request.top_logprobs is not None and self._token_bytes is not None:
            drawn = zip(reply.token_ids or (), completion.logps, completion.top_logps or (), strict=False)
            tokens = [Token(id=token, logp=logp, top_logprobs=tuple(top)) for token, logp, top in drawn]
            choice["logprobs"] = chat_logprobs(self._token_bytes, tokens)
        body = {"choices": [choice], "usage": {"completion_tokens": reply.tokens}}
        if cache is not None:
            body = cache.put(request_key(request.body(self._name), request.sample), body, tokens=reply.tokens).body
        return reply_of(body)


def _failed(reason: Reason, detail: str) -> Reply:
    return Reply(failure=Failure(reason=reason, detail=detail))


def text_of(lm: LanguageModel, completion: Completion) -> str:
    """The completion's text without its stop token; other special tokens stay visible."""
    ids = completion.token_ids
    text = lm.tokenizer.decode(ids[:-1] if completion.finish is FinishReason.STOP else ids)
    assert isinstance(text, str)
    return text
