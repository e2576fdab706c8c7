"""How a model is asked, whoever it is: messages in; text, tokens and the reason why it ended out.

Teachers, judges and benchmarks ask through `ChatModel` alone. A model with weights in this process or on a vLLM server
is an `EngineModel` (engine_model.py), an OpenAI-compatible server an `Endpoint` (endpoint/endpoint_client.py).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from afterbase.core.reasoning import answer_of
from afterbase.core.secret_masking import masked
from afterbase.verify.answer_context import AnswerContext

_TRUNCATED = ("length", "max_tokens", "max_output_tokens", "model_length")  # finish reasons, as servers spell them


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One requested answer; lengths in tokens, None where the model decides.

    `sample` tells equal requests apart: they are sent and kept each for itself, with a seed of its own derived from
    `seed`, if there is one. `top_logprobs` is the number of candidates beside each token's log-probability; None wants
    neither. `plain`: the model has no chat template, and continues the text of the messages.
    """

    messages: Sequence[dict[str, str]]
    temperature: float
    max_tokens: int | None
    stop: Sequence[str] = ()
    seed: int | None = None
    sample: int = 0
    top_logprobs: int | None = None
    plain: bool = False

    @property
    def text(self) -> str:
        """What a plain request is a continuation of: the messages as paragraphs, the answer in a line of its own."""
        return "\n\n".join(message["content"] for message in self.messages) + "\n"

    def body(self, model: str) -> dict[str, Any]:
        """What is sent, and what the request is known by."""
        body: dict[str, Any] = {"model": model, "temperature": float(self.temperature)}
        if self.plain:
            body["prompt"] = self.text
        else:
            body["messages"] = [dict(message) for message in self.messages]
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if self.stop:
            body["stop"] = list(self.stop)
        if self.seed is not None:
            body["seed"] = _seed(self.seed, self.sample)
        if self.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        return body


def _seed(seed: int, sample: int) -> int:
    """31 bits, which every server takes."""
    return int.from_bytes(hashlib.sha256(f"{seed}|{sample}".encode()).digest()[:4], "little") >> 1


class Reason(StrEnum):
    """Why a request has no answer; `refused`, `too_long` and `not_rendered` are about the request, the others may pass.

    `too_long`, `not_rendered`: a prompt that leaves no room in the context, or that the chat template refuses or loses,
    where the model is here; a server refuses both. `abandoned`: it was not asked (again), since nothing came of many
    others. `budget`: it was not sent: no money, tokens or requests were left.
    """

    REFUSED = "refused"
    TOO_LONG = "too_long"
    NOT_RENDERED = "not_rendered"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed"
    DEADLINE = "deadline"
    ABANDONED = "abandoned"
    BUDGET = "budget"

    @property
    def is_about_request(self) -> bool:
        """Whether asking again would not help."""
        return self in (Reason.REFUSED, Reason.TOO_LONG, Reason.NOT_RENDERED)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why there is no answer; what a server said of it may hold the token, which is masked."""

    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", masked(self.detail))


@dataclass(frozen=True, kw_only=True)
class TokenLogp:
    """One token of an answer with its natural log-probability, and the candidates at its place."""

    token: str
    logp: float
    top: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a request: a text, or the failure that stands in its place.

    `tokens` are those of the whole reply, the stop token included, as the model's side counts them; `finish` is its own
    word for why the reply ended, `unknown` where it gives none. `reasoning` is what a server keeps apart from the text.
    `logps` are given where they were asked for, under the distribution that the server means. `token_ids` are there
    where the model is here and the reply does not come from a cache.
    """

    text: str = ""
    tokens: int = 0
    finish: str = "stop"
    reasoning: str | None = None
    logps: tuple[TokenLogp, ...] | None = None
    token_ids: tuple[int, ...] | None = field(default=None, compare=False)
    failure: Failure | None = None

    @property
    def truncated(self) -> bool:
        return self.finish.lower() in _TRUNCATED

    @property
    def context(self) -> AnswerContext:
        """What a verifier may ask for beside the text."""
        return AnswerContext(tokens=self.tokens, truncated=self.truncated)

    @property
    def answer(self) -> str | None:
        """The text without its thought; None where the thought never ends."""
        return answer_of(self.text)


class ChatModel(Protocol):
    """Answers requests, many at once; the same seed gives the same text where the model's side keeps to it.

    >>> from afterbase.model.folders import find
    >>> from afterbase.model.load import load
    >>> from afterbase.rollout.engine_model import EngineModel
    >>> model: ChatModel = EngineModel(load(find("tiny-v3")), name="tiny-v3")
    >>> question = [{"role": "user", "content": "What is 1 + 1?"}]
    >>> [reply] = model.complete([ChatRequest(messages=question, temperature=0.0, max_tokens=4)])
    >>> reply.tokens, reply.finish
    (4, 'length')
    """

    def describe(self) -> dict[str, Any]:
        """Who this is, for a sample's lineage."""
        ...

    def complete(
        self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        """A reply to each request, in their order; `on_finished` sees each with its index as it comes."""
        ...
