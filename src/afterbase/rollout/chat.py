"""A chat request to an endpoint, and what comes of it: an answer, or a failure with its reason."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from afterbase.core.masking import masked


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One answer to be had; lengths in tokens, None where the server decides.

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


@dataclass(frozen=True, kw_only=True)
class TokenLogp:
    """One token of an answer with its natural log-probability, and the candidates at its place."""

    token: str
    logp: float
    top: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an endpoint wrote; `reasoning` where it keeps that apart, `tokens` as it counts them, `finish` its own word.

    `logps` are given where they were asked for, under the distribution that the server means.
    """

    text: str
    reasoning: str | None
    tokens: int
    finish: str
    logps: tuple[TokenLogp, ...] | None

    @property
    def truncated(self) -> bool:
        return self.finish == "length"


class Reason(StrEnum):
    """Why a request has no answer; `refused` alone is about the request, the others may pass.

    `abandoned`: it was not asked (again), since nothing came of many others. `budget`: it was not sent, for want of
    money, tokens or requests.
    """

    REFUSED = "refused"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    MALFORMED = "malformed"
    DEADLINE = "deadline"
    ABANDONED = "abandoned"
    BUDGET = "budget"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request without an answer; what a server said of it may hold the token, which is masked."""

    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", masked(self.detail))


class UnreadableError(Exception):
    """A body that is no chat completion; the message says what is missing."""


def answer_of(body: Any) -> Answer:
    """The first choice of a completion, in a chat or plain. Raises UnreadableError for anything else."""
    try:
        choice = body["choices"][0]
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        text = message.get("content")
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        tokens, finish = body["usage"]["completion_tokens"], choice["finish_reason"]
        logps = _logps(choice.get("logprobs"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"no chat completion ({type(error).__name__}: {error})") from None
    if not isinstance(text, str | None) or not isinstance(reasoning, str | None):
        raise UnreadableError("a message that is no text")
    if not isinstance(tokens, int) or not isinstance(finish, str):
        raise UnreadableError("no count of tokens, or no reason for the end")
    return Answer(text=text or "", reasoning=reasoning, tokens=tokens, finish=finish, logps=logps)


def _logps(logprobs: Any) -> tuple[TokenLogp, ...] | None:
    if logprobs is None or logprobs.get("content") is None:
        return None
    return tuple(
        TokenLogp(
            token=entry["token"],
            logp=float(entry["logprob"]),
            top={top["token"]: float(top["logprob"]) for top in reversed(entry.get("top_logprobs") or [])},
        )
        for entry in logprobs["content"]
    )
