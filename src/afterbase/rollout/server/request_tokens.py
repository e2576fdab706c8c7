"""From the body of a request to token ids, within bounds that are checked before any work begins.

It runs in threads of its own, two for what is short and one for what is long, so that neither the event loop nor a
short request waits for a long one; and it ends, between two prompts, once its client has left.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from afterbase.core.faults import fault
from afterbase.core.tokens import prompt_ids
from afterbase.model.load import LanguageModel
from afterbase.rollout.server.openai_api import MAX_ITEMS, AnyRequest, ApiError, ChatRequest, CompletionRequest, Message

COMPLETION_TOKENS = 16  # OpenAI's default for completions
MAX_KEPT = 1 << 19  # tokens, and candidates beside them, of all choices of a request
_SHORT_BYTES = 64 << 10
_SHORT_THREADS, _LONG_THREADS = 2, 1


@dataclass(frozen=True, kw_only=True)
class ValidatedRequest:
    """A request that fits: its prompts, and the most tokens of each choice."""

    request: AnyRequest
    prompts: list[list[int]]
    max_new_tokens: int


class RequestValidator:
    """Validates and tokenises requests to the model called `name`, for an engine of that `context`.

    The prompts of a request have `prompt_tokens` tokens at most.
    """

    def __init__(self, lm: LanguageModel, *, name: str, context: int, prompt_tokens: int) -> None:
        self._lm = lm
        self._name = name
        self._context = context
        self._prompt_tokens = prompt_tokens
        embeddings: Any = lm.model.get_input_embeddings()
        self._vocabulary: int = embeddings.num_embeddings
        self._longest_token = max(map(len, lm.tokenizer.get_vocab()))
        self._short = ThreadPoolExecutor(_SHORT_THREADS, "validate")
        self._long = ThreadPoolExecutor(_LONG_THREADS, "validate-long")

    async def validate(self, kind: type[AnyRequest], body: bytes, gone: Event) -> ValidatedRequest:
        """The request in a body. Raises ApiError for what is none, does not fit, or has lost its client."""
        pool = self._short if len(body) <= _SHORT_BYTES else self._long
        return await asyncio.get_running_loop().run_in_executor(pool, self._validate, kind, body, gone)

    def close(self) -> None:
        self._short.shutdown(cancel_futures=True)
        self._long.shutdown(cancel_futures=True)

    def _validate(self, kind: type[AnyRequest], body: bytes, gone: Event) -> ValidatedRequest:
        request = read_request(kind, body)
        if request.model not in (None, self._name):
            said = f"no model `{request.model[:80]}` here, only `{self._name}`"
            raise ApiError(404, said, param="model", code="model_not_found")
        if isinstance(request, ChatRequest):
            prompts = [self._chat(request)]
            asked = request.max_completion_tokens or request.max_tokens
        else:
            self._refuse_many(request)
            prompts = [self._completion(prompt) for prompt in request.prompts if not _left(gone)]
            asked = request.max_tokens or COMPLETION_TOKENS
        tokens = sum(map(len, prompts))
        if tokens > self._prompt_tokens:
            rule = f"the prompts of a request have {self._prompt_tokens} tokens at most, not {tokens}"
            raise ApiError(400, rule, param="prompt", code="context_length_exceeded")
        return ValidatedRequest(request=request, prompts=prompts, max_new_tokens=self._limit(request, prompts, asked))

    def _chat(self, request: ChatRequest) -> list[int]:
        self._refuse_text(sum(len(message.content) for message in request.messages), "messages")
        try:
            ids = prompt_ids(self._lm.tokenizer, [message.plain() for message in request.messages])
        except Exception as error:  # a template is a program of the model's author, and may raise anything
            said = str(error) or type(error).__name__
            raise ApiError(400, f"the model's chat template refuses: {said[:2000]}", param="messages") from None
        self._refuse_ids(ids, "messages")
        return ids

    def _completion(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            self._refuse_text(len(prompt), "prompt")
            encoded = self._lm.tokenizer(prompt, verbose=False)["input_ids"]
            assert isinstance(encoded, list)
            prompt = encoded
        self._refuse_ids(prompt, "prompt")
        return prompt

    def _refuse_many(self, request: CompletionRequest) -> None:
        choices = len(request.prompts) * request.n
        if choices > MAX_ITEMS:
            asked = f"{len(request.prompts)} prompts and n {request.n} are {choices}"
            raise ApiError(400, f"a request has {MAX_ITEMS} choices at most: {asked}", param="n")

    def _refuse_text(self, characters: int, param: str) -> None:
        if characters > self._context * self._longest_token:
            raise self._too_long(f"a text of {characters} characters is more than that", param)

    def _refuse_ids(self, ids: Sequence[int], param: str) -> None:
        if len(ids) >= self._context:
            raise self._too_long(f"a prompt of {len(ids)} leaves no room for max_tokens 1", "max_tokens")
        if not ids or not all(0 <= i < self._vocabulary for i in ids):
            rule = f"a prompt has one token or more, each from 0 to {self._vocabulary - 1}"
            raise ApiError(400, rule, param=param)

    def _too_long(self, said: str, param: str) -> ApiError:
        rule = f"this server's context is {self._context} tokens: {said}"
        return ApiError(400, rule, param=param, code="context_length_exceeded")

    def _limit(self, request: AnyRequest, prompts: list[list[int]], asked: int | None) -> int:
        """Tokens of each choice: as asked, where all of it fits; by default what is left."""
        kept = MAX_KEPT // (len(prompts) * request.n * (1 + (request.top or 0)))
        longest = max(map(len, prompts))
        if asked is None:
            return min(self._context - longest, kept)
        if longest + asked > self._context:
            raise self._too_long(f"a prompt of {longest} leaves no room for max_tokens {asked}", "max_tokens")
        if asked > kept:
            said = f"all choices of a request have {MAX_KEPT} tokens and top log-probabilities at most"
            raise ApiError(400, f"{said}: that leaves max_tokens {kept} for each, not {asked}", param="max_tokens")
        return asked


def _left(gone: Event) -> bool:
    if gone.is_set():
        raise ApiError(499, "the client closed the connection")
    return False


def read_request(kind: type[AnyRequest], body: bytes) -> AnyRequest:
    """A body as a request. Raises ApiError."""
    try:
        # Refuses NaN, lone surrogates, bytes that are no UTF-8, numbers without end and nesting without end.
        data = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"the body is no JSON: {error}", code="json_invalid") from None
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> ApiError:
    # Of several types that were tried, the one that fits furthest tells the most.
    found = max(error.errors(include_url=False), key=lambda e: len(e["loc"]))
    kind, named = found["type"], found.get("ctx", {}).get("name")
    # Between the fields' names stand those of the types that were tried.
    known = kind == "extra_forbidden"
    place = [str(part) for part in found["loc"] if known or isinstance(part, int) or part in _FIELDS]
    param = ".".join([*place, *([named] if named and named not in place else [])])
    said = fault(found)
    message = said if not param or said.startswith(param) else f"{param}: {said}"
    if kind == "extra_forbidden":
        param = param[:80]
        message = f"this server does not know the field `{param}`: leave it out"
    return ApiError(400, message, param=param or None, code=kind)


_FIELDS = {*ChatRequest.model_fields, *CompletionRequest.model_fields, *Message.model_fields}
