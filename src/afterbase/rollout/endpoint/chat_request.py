"""A chat request to an endpoint, and its result: an answer, or a failure with its reason."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from afterbase.core.secret_masking import masked
from afterbase.rollout.endpoint.budget import BYTES_OF_A_TOKEN, token_count

_TRUNCATED = ("length", "max_tokens", "max_output_tokens", "model_length")  # finish reasons, as servers spell them
# Where the text of a part stands, by its type.
_TEXT_PARTS = {"text": "text", "output_text": "text", "refusal": "refusal"}
_THOUGHT_PARTS = ("thinking", "reasoning", "redacted_thinking")
_THOUGHT_FIELDS = ("thinking", "reasoning", "text", "content", "summary")


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """One requested answer; lengths in tokens, None where the server decides.

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

    A server that counts none is taken to write a token in four bytes, one that gives no reason for the end `unknown`.
    A refusal that is kept apart is the text. `logps` are given where they were asked for, under the distribution that
    the server means.
    """

    text: str
    reasoning: str | None
    tokens: int
    finish: str
    logps: tuple[TokenLogp, ...] | None

    @property
    def truncated(self) -> bool:
        return self.finish.lower() in _TRUNCATED


class Reason(StrEnum):
    """Why a request has no answer; `refused` alone is about the request, the others may pass.

    `abandoned`: it was not asked (again), since nothing came of many others. `budget`: it was not sent: no
    money, tokens or requests were left.
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
    """A body that is no chat completion; the message says what is missing.

    `worked`: there is an answer in it, in a form that is not known: it was paid, and would come so again.
    """

    def __init__(self, said: str, *, worked: bool = False) -> None:
        super().__init__(said)
        self.worked = worked


def outcome_of(body: Any) -> Answer | Failure:
    """As `answer_of`; an answer that is whole and holds no text is a failure, which another try would not mend."""
    answer = answer_of(body)
    message = body["choices"][0].get("message")
    calls = isinstance(message, dict) and (message.get("tool_calls") or message.get("function_call"))
    if calls and not answer.text:
        return Failure(reason=Reason.REFUSED, detail="an answer of tool calls, which nobody offered, without a text")
    if answer.finish.lower() == "content_filter":
        return Failure(reason=Reason.REFUSED, detail="the endpoint's content filter cut the answer")
    return answer


def answer_of(body: Any) -> Answer:
    """The first choice of a completion, in a chat or plain. Raises UnreadableError for anything else."""
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices:
        raise UnreadableError("no chat completion: no choices")
    if not isinstance(choices[0], dict) or choices[0].get("error"):
        raise UnreadableError(f"no chat completion: {str(choices[0])[:200]}")
    choice = choices[0]
    try:
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        text, reasoning = _written(message)
        logps = _logps(choice.get("logprobs"))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"no chat completion ({type(error).__name__}: {error})", worked=True) from None
    usage = body.get("usage")
    tokens = token_count(usage.get("completion_tokens")) if isinstance(usage, dict) else None
    if tokens is None:
        tokens = len(logps) if logps else -(-len((text + (reasoning or "")).encode()) // BYTES_OF_A_TOKEN)
    finish = choice.get("finish_reason")
    return Answer(
        text=text,
        reasoning=reasoning,
        tokens=tokens,
        finish=finish if isinstance(finish, str) else "unknown",
        logps=logps,
    )


def _written(message: dict[str, Any]) -> tuple[str, str | None]:
    """Text and reasoning. Raises TypeError and ValueError for parts that are neither."""
    content, texts, thoughts = message.get("content"), [], []
    for part in content if isinstance(content, list) else [] if content is None else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif part.get("type") in _TEXT_PARTS:
            texts.append(part[_TEXT_PARTS[part["type"]]])
        elif part.get("type") in _THOUGHT_PARTS:
            thoughts.append(_thought(part))
        else:
            raise ValueError(f"a part of type {str(part.get('type'))[:80]}")
    apart = message.get("reasoning_content") or message.get("reasoning")
    thoughts += [_thought(apart)] if apart else []
    refusal = message.get("refusal")
    text = "".join(texts) or (refusal if isinstance(refusal, str) else "")
    return _characters(text), _characters("".join(thoughts)) or None


def _thought(value: Any) -> str:
    """The text of reasoning, however deep it lies; what is sealed has none."""
    if isinstance(value, list):
        return "".join(map(_thought, value))
    if isinstance(value, dict):
        return next((_thought(value[name]) for name in _THOUGHT_FIELDS if value.get(name)), "")
    return value if isinstance(value, str) else ""


def _characters(text: str) -> str:
    """A text that can be written as UTF-8: half of a surrogate pair is no character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _logps(logprobs: Any) -> tuple[TokenLogp, ...] | None:
    if logprobs is None or logprobs.get("content") is None:
        return None
    return tuple(
        TokenLogp(
            token=_characters(entry["token"]),
            logp=_logp(entry),
            top={_characters(top["token"]): _logp(top) for top in reversed(entry.get("top_logprobs") or [])},
        )
        for entry in logprobs["content"]
    )


def _logp(entry: dict[str, Any]) -> float:
    logp = float(entry["logprob"])
    if math.isnan(logp):
        raise ValueError("a log-probability that is no number")
    return logp
