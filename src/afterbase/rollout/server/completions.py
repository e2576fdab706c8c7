"""One HTTP request's answers: from the engine's tokens to OpenAI's JSON, whole or in chunks.

A stream keeps nothing of what it has given, and asks the engine to hold on while its reader is far behind.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.server.incremental_text import IncrementalText, TokenBytes
from afterbase.rollout.server.openai_api import (
    AnyRequest,
    ApiError,
    ChatRequest,
    chat_logprobs,
    completion_logprobs,
    usage,
)
from afterbase.rollout.server.sample_request import Event, SampleRequest, Token

_HIGH_WATER, _LOW_WATER = 4096, 1024  # events that a reader has not taken; below the latter the engine goes on
_EVENTS_PER_TURN = 32  # events between two turns of others on the event loop


class _Form(StrEnum):
    """Which of the two APIs an answer is written for: its `object`."""

    CHAT = "chat.completion"
    COMPLETION = "text_completion"


@dataclass
class _Choice:
    index: int
    prompt: list[int]
    text: IncrementalText
    tokens: list[Token] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    sampled: int = 0
    finish: FinishReason | None = None


class CompletionResponse:
    """`n` choices for each prompt, in the order of the prompts. To be used within one event loop."""

    def __init__(
        self,
        token_bytes: TokenBytes,
        request: AnyRequest,
        prompts: list[list[int]],
        *,
        name: str,
        stop_ids: tuple[int, ...],
    ) -> None:
        self._token_bytes = token_bytes
        self._request = request
        self._prompts = prompts
        self._form = _Form.CHAT if isinstance(request, ChatRequest) else _Form.COMPLETION
        self._stop_ids = stop_ids
        self._head = {
            "id": ("chatcmpl-" if self._form is _Form.CHAT else "cmpl-") + secrets.token_hex(12),
            "created": int(time.time()),
            "model": name,
        }
        continues = self._form is _Form.COMPLETION
        self._choices = [
            _Choice(place, prompt, IncrementalText(token_bytes, request.stop_strings, continues=continues))
            for place, prompt in enumerate(prompt for prompt in prompts for _ in range(request.n))
        ]
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._sent = self._taken = 0
        self._is_backlogged = False
        self._aborted = False

    def sample_request(self, prompt_index: int, sampling: Sampling) -> SampleRequest:
        """What to submit to the engine for one of the prompts."""
        first = prompt_index * self._request.n

        def send(sample: int, event: Event) -> None:
            self._sent += 1
            self._loop.call_soon_threadsafe(self._events.put_nowait, (first + sample, event))

        return SampleRequest(
            prompt=tuple(self._prompts[prompt_index]),
            samples=self._request.n,
            sampling=sampling,
            top_logprobs=self._request.top or 0,
            send=send,
            cancelled=lambda sample: self._aborted or self._choices[first + sample].finish is not None,
            backlogged=self._backlogged,
            group=self,
        )

    def _backlogged(self) -> bool:
        waiting = self._sent - self._taken
        self._is_backlogged = waiting > (_LOW_WATER if self._is_backlogged else _HIGH_WATER)
        return self._is_backlogged and not self._aborted

    def abort(self) -> None:
        """Nobody reads on: what still runs ends at the engine's next step."""
        self._aborted = True

    async def whole(self) -> dict[str, Any]:
        """The JSON of the answer in one piece."""
        async for choice, piece, tokens in self._increments():
            choice.pieces.append(piece)
            choice.tokens += tokens
        return await asyncio.to_thread(self._whole)

    def _whole(self) -> dict[str, Any]:
        body = {**self._head, "object": str(self._form), "usage": self._usage()}
        if self._form is _Form.CHAT and self._request.return_token_ids:
            body["prompt_token_ids"] = self._prompts[0]
        return {**body, "choices": [self._whole_choice(choice) for choice in self._choices]}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The JSON of each server-sent event; the last ones end their choices, and carry the usage if it is wanted."""
        if self._form is _Form.CHAT:
            for choice in self._choices:
                yield self._chunk(choice, {"delta": {"role": "assistant", "content": ""}}, [], [])
        async for choice, piece, tokens in self._increments():
            offsets, choice.offsets = choice.offsets, []
            finished = choice.finish is not None
            if piece or finished or (tokens and (self._request.top is not None or self._request.return_token_ids)):
                chat = {"delta": {"content": piece} if piece or not finished else {}}
                yield self._chunk(choice, chat if self._form is _Form.CHAT else {"text": piece}, tokens, offsets)
        if self._request.stream_options is not None and self._request.stream_options.include_usage:
            yield {**self._chunk_head(), "choices": [], "usage": self._usage()}

    async def _increments(self) -> AsyncIterator[tuple[_Choice, str, list[Token]]]:
        """What each event adds to its choice: certain text, and the token if there is one."""
        running = len(self._choices)
        while running:
            index, event = await self._events.get()
            self._taken += 1
            if self._taken % _EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
            choice = self._choices[index]
            if choice.finish is not None:
                continue  # sampled after a stop string, before the engine knew
            piece, tokens = self._increment(choice, event)
            running -= choice.finish is not None
            yield choice, piece, tokens

    def _increment(self, choice: _Choice, event: Event) -> tuple[str, list[Token]]:
        match event:
            case Exception():
                raise ApiError(500, f"the engine failed: {event}")
            case FinishReason():
                choice.finish = event
                return choice.text.end(), []
            case Token():
                choice.sampled += 1
                choice.offsets.append(choice.text.length)
                if event.id in self._stop_ids:
                    return "", [event]
                piece = choice.text.add(event.id)
                if choice.text.stopped:
                    choice.finish = FinishReason.STOP
                return piece, [event]

    def _usage(self) -> dict[str, int]:
        return usage(sum(map(len, self._prompts)), sum(choice.sampled for choice in self._choices))

    def _chunk_head(self) -> dict[str, Any]:
        chunk = ".chunk" if self._form is _Form.CHAT else ""
        return {**self._head, "object": f"{self._form}{chunk}"}

    def _chunk(
        self, choice: _Choice, content: dict[str, Any], tokens: Sequence[Token], offsets: Sequence[int]
    ) -> dict[str, Any]:
        return {**self._chunk_head(), "choices": [{**content, **self._common(choice, tokens, offsets)}]}

    def _whole_choice(self, choice: _Choice) -> dict[str, Any]:
        text = "".join(choice.pieces)
        chat = {"message": {"role": "assistant", "content": text}}
        content = chat if self._form is _Form.CHAT else {"text": text}
        return {**content, **self._common(choice, choice.tokens, choice.offsets)}

    def _common(self, choice: _Choice, tokens: Sequence[Token], offsets: Sequence[int]) -> dict[str, Any]:
        common: dict[str, Any] = {"index": choice.index, "finish_reason": choice.finish, "logprobs": None}
        if self._request.top is not None:
            common["logprobs"] = (
                chat_logprobs(self._token_bytes, tokens)
                if self._form is _Form.CHAT
                else completion_logprobs(self._token_bytes, tokens, offsets)
            )
        if self._request.return_token_ids:
            common["token_ids"] = [token.id for token in tokens]
            if self._form is _Form.COMPLETION:
                common["prompt_token_ids"] = choice.prompt
        return common
