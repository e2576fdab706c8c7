"""A conversation with a model that is in this process: a turn in, its answer out, piece by piece."""

import queue
from collections.abc import Generator, Iterator
from dataclasses import replace

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.server.incremental_text import IncrementalText, TokenBytes
from afterbase.rollout.server.sample_request import Event, SampleRequest, Token
from afterbase.rollout.server.serving_engine import ServingEngine

_TOKENS = 262_144  # cached at most


class LocalConversation:
    """Turns of a user and a model, after a system prompt if there is one; to be closed with `close`.

    Each answer has up to `max_tokens` tokens. Where the context is full, the earliest exchange is forgotten, which
    `forgotten` counts.

    >>> from afterbase.model.folders import find
    >>> from afterbase.model.load import load
    >>> conversation = LocalConversation(load(find("tiny-v3")), system=None, temperature=0.0, max_tokens=4, seed=0)
    >>> pieces = list(conversation.reply("What is 1 + 1?"))
    >>> conversation.close()
    >>> len(conversation.turns)
    2
    """

    def __init__(
        self, lm: LanguageModel, *, system: str | None, temperature: float, max_tokens: int, seed: int
    ) -> None:
        """Raises UserError where the local engine cannot run the model."""
        self.turns: list[dict[str, str]] = []
        self.forgotten = 0
        self._lm = lm
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self._stops = stop_token_ids(lm)
        self._token_bytes = TokenBytes(lm.tokenizer)
        self._engine = ServingEngine(lm.model, max_rows=1, token_budget=_TOKENS)
        self._sampling = Sampling(
            temperature=temperature, max_new_tokens=max_tokens, stop_token_ids=self._stops, seed=seed
        )
        self._engine.start()

    def close(self) -> None:
        """End the engine's thread."""
        self._engine.stop()

    def reply(self, text: str) -> Generator[str, None, None]:
        """The answer to a user's turn, in pieces of whole characters. Both are kept once it ends, or is left early.

        Raises UserError, and keeps nothing, where the turn alone does not fit in the context, or the chat template
        does not take it.
        """
        asked = [*self.turns, {"role": "user", "content": text}]
        prompt = self._fitting(asked)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        left = False
        room = min(self._sampling.max_new_tokens, self._engine.context - len(prompt))
        request = SampleRequest(
            prompt=tuple(prompt),
            samples=1,
            sampling=replace(self._sampling, max_new_tokens=room, seed=self._sampling.seed + len(asked)),
            top_logprobs=0,
            send=lambda _, event: events.put(event),
            cancelled=lambda _: left,
        )
        self._engine.submit(request)
        said = ""
        try:
            for piece in self._pieces(events):
                said += piece
                yield piece
        finally:
            left = True
            self.turns = [*asked, {"role": "assistant", "content": said}]

    def _pieces(self, events: "queue.SimpleQueue[Event]") -> Iterator[str]:
        text = IncrementalText(self._token_bytes)
        while True:
            match events.get():
                case Token(id=token):
                    yield "" if token in self._stops else text.add(token)
                case FinishReason():
                    yield text.end()
                    return
                case Exception() as error:
                    raise UserError(
                        "a model answers", got=f"{type(error).__name__}: {error}", remedy="use another model"
                    ) from error

    def _fitting(self, asked: list[dict[str, str]]) -> list[int]:
        """The ids of the turns; the earliest exchanges are taken out of `asked` until they leave room."""
        while len(prompt := prompt_ids(self._lm.tokenizer, [*self._system, *asked])) >= self._engine.context:
            if len(asked) == 1:
                raise UserError(
                    "a turn and its answer fit in the model's context",
                    got=f"a turn of {len(prompt)} tokens in a context of {self._engine.context}",
                    remedy="say it in fewer words",
                )
            del asked[:2]
            self.forgotten += 1
        return prompt
