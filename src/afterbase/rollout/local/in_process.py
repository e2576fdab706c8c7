"""A model in this process that is asked as an endpoint is: the same requests, the same answers, the same cache.

What `afterbase serve` would answer to a request is what is answered here: its prompt by the chat template (or bare, for
a request that is `plain`), its stop tokens, its limit on lengths, its refusal of what does not fit in the context, and
the same randomness for the same seed. Greedy answers can differ where two tokens are equally probable to the last digit
of float32, since sums are taken in another order in batches of another size.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids
from afterbase.model.families import longest_sequence
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.endpoint.chat_request import ChatRequest, Failure, Reason, answer_of
from afterbase.rollout.endpoint.endpoint_client import Result
from afterbase.rollout.endpoint.request_cache import RequestCache, request_key
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.server.incremental_text import IncrementalText, Spelling

TOO_LONG = "context_length_exceeded"


class InProcess:
    """`complete` as `Endpoint` has it, of a loaded model; `name` stands for it in the cache: use a digest of it."""

    def __init__(self, lm: LanguageModel, *, name: str, cache: Path | None = None) -> None:
        """Raises UserError where the local engine cannot run the model."""
        self._lm = lm
        self._name = name
        self._cache = cache
        self._engine = LocalEngine(lm.model)
        self._stop_ids = stop_token_ids(lm)
        self._spelling = Spelling(lm.tokenizer)
        self.context = longest_sequence(lm.model.config)

    def complete(
        self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Result], None] | None = None
    ) -> list[Result]:
        """A result for each request, in their order; `on_finished` sees each with its index as it comes."""
        results: dict[int, Result] = {}

        def finish(index: int, result: Result) -> None:
            results[index] = result
            if on_finished is not None:
                on_finished(index, result)

        opened: AbstractContextManager[RequestCache | None] = (
            nullcontext() if self._cache is None else RequestCache(self._cache)
        )
        with opened as cache:
            for sampling, group in self._groups(requests, cache, finish).items():
                self._run(sampling, group, requests, cache, finish)
        return [results[index] for index in range(len(requests))]

    def _groups(
        self, requests: Sequence[ChatRequest], cache: RequestCache | None, finish: Callable[[int, Result], None]
    ) -> dict[tuple[float, int], list[tuple[int, list[int], int]]]:
        """What has no answer yet, as (index, prompt, limit), by what a batch has in common: temperature and seed."""
        groups = defaultdict(list)
        for index, request in enumerate(requests):
            assert not request.stop and request.top_logprobs is None, "neither is known in process"
            body = request.body(self._name)
            kept = cache.get(request_key(body, request.sample)) if cache is not None else None
            if kept is not None:
                finish(index, answer_of(kept.body))
                continue
            prompt = self._prompt(request)
            if isinstance(prompt, Failure):
                finish(index, prompt)
                continue
            limit = request.max_tokens or max(1, self.context - len(prompt))
            if len(prompt) + limit > self.context:
                finish(index, self._refusal(len(prompt), limit))
                continue
            groups[(request.temperature, body.get("seed", 0))].append((index, prompt, limit))
        return groups

    def _prompt(self, request: ChatRequest) -> list[int] | Failure:
        if request.plain:
            ids = self._lm.tokenizer(request.text, verbose=False)["input_ids"]
            assert isinstance(ids, list)
            return ids if ids else Failure(reason=Reason.REFUSED, detail="an empty prompt")
        try:
            return prompt_ids(self._lm.tokenizer, request.messages)
        except UserError as error:
            return Failure(reason=Reason.REFUSED, detail=f"the model's chat template refuses: {error}")

    def _refusal(self, prompt: int, limit: int) -> Failure:
        detail = f"{TOO_LONG}: a prompt of {prompt} tokens and {limit} more in a context of {self.context}"
        return Failure(reason=Reason.REFUSED, detail=detail)

    def _run(
        self,
        shared: tuple[float, int],
        group: list[tuple[int, list[int], int]],
        requests: Sequence[ChatRequest],
        cache: RequestCache | None,
        finish: Callable[[int, Result], None],
    ) -> None:
        """One batch; its limit is that of the longest answer, and the others are cut to their own."""
        temperature, seed = shared
        sampling = Sampling(
            temperature=temperature,
            max_new_tokens=max(limit for _, _, limit in group),
            stop_token_ids=self._stop_ids,
            seed=seed,
        )
        prompts = [prompt for _, prompt, _ in group]
        for completion in self._engine.stream(prompts, samples=1, sampling=sampling):
            index, _, limit = group[completion.prompt_index]
            body = self._body(completion, limit, continues=requests[index].plain)
            if cache is not None:
                key = request_key(requests[index].body(self._name), requests[index].sample)
                body = cache.put(key, body, tokens=body["usage"]["completion_tokens"]).body
            finish(index, answer_of(body))

    def _body(self, completion: Completion, limit: int, *, continues: bool) -> dict[str, Any]:
        """The part of a chat completion that `answer_of` reads."""
        ids = completion.token_ids[:limit]
        finish = completion.finish if len(completion.token_ids) <= limit else FinishReason.LENGTH
        text = IncrementalText(self._spelling, continues=continues)
        written = text.add(*(i for i in ids if i not in self._stop_ids)) + text.end()
        message = {"role": "assistant", "content": written}
        return {
            "choices": [{"index": 0, "message": message, "finish_reason": str(finish)}],
            "usage": {"completion_tokens": len(ids)},
        }
