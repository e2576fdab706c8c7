"""What the server takes and says: the part of OpenAI's chat and completions API that changes an answer as it promises.

https://platform.openai.com/docs/api-reference. A field that the server does not know, or knows and cannot honour, is an
error, never ignored. Log-probabilities are natural, under softmax(logits / T) with T = 1 when greedy: the distribution
that was sampled from. They, the usage and `token_ids` count the stop token.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from afterbase.rollout.engine import COOLEST
from afterbase.rollout.server.incremental_text import TokenBytes
from afterbase.rollout.server.sample_request import Token

MAX_ITEMS = 2048  # messages of a chat, prompts of a request, choices of an answer: as many as OpenAI takes messages

# Fields that would change the answer, with the values beside null under which they don't.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "echo": (False,),
    "suffix": (),
    "best_of": (1,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "chat_template_kwargs": ({},),
}
# Fields about the request's book-keeping: the answer is the same with and without them.
_IRRELEVANT = (
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "parallel_tool_calls",
)
# What the official client gives with an answer and sends back in the history; nothing of it is text of the turn.
_ASIDE = ("annotations", "reasoning_content", "reasoning")
_CALLS = ("tool_calls", "function_call", "audio")

StopString = Annotated[str, Len(1, 1024)]
Length = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ApiError(Exception):
    """An answer in OpenAI's error format."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class _Table(BaseModel):
    model_config: ClassVar = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def _with_one_unknown(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Without unknown fields but the first: pydantic tells of each, which takes a kilobyte, and one is enough."""
        unknown = next((name for name in data if name not in cls.model_fields), None)
        return {name: value for name, value in data.items() if name in cls.model_fields or name == unknown}


def _given(data: dict[str, Any]) -> dict[str, Any]:
    """Without its nulls: by OpenAI's reference, null is the default."""
    return {name: value for name, value in data.items() if value is not None}


class Message(_Table):
    """One turn; `content` may come in parts, and an assistant's turn as the official client gave it out."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        turn = _given(data)
        if turn.get("role") == "assistant":
            for name in _CALLS:
                if turn.pop(name, []) != []:
                    raise PydanticCustomError("unsupported", "{name} is not supported: text alone", {"name": name})
            turn = {name: value for name, value in turn.items() if name not in _ASIDE}
            refusal = turn.pop("refusal", "")
            turn.setdefault("content", refusal)
        if isinstance(turn.get("content"), list):
            turn["content"] = _text(turn["content"])
        return cls._with_one_unknown(turn)

    def plain(self) -> dict[str, str]:
        """As the chat template takes it."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": self.content, **({} if self.name is None else {"name": self.name})}


def _text(parts: list[Any]) -> str:
    """The text of content parts."""
    if not parts:
        raise PydanticCustomError("empty", "{name} has one part or more", {"name": "content"})
    texts = []
    for part in parts:
        given = _given(part) if isinstance(part, dict) else {}
        kind = given.get("type")
        field = {"text": "text", "refusal": "refusal"}.get(kind) if isinstance(kind, str) else None
        text = given.get(field) if field is not None else None
        if not isinstance(text, str) or given.get("annotations", []) != [] or not given.keys() <= _PART_FIELDS:
            raise PydanticCustomError(
                "unsupported",
                '{name} has parts of text alone, such as {"type": "text", "text": "..."}, not {got}',
                {"name": "content", "got": repr(part)[:80]},
            )
        texts.append(text)
    return "".join(texts)


_PART_FIELDS = {"type", "text", "refusal", "annotations"}


class StreamOptions(_Table):
    include_usage: bool = False
    include_obfuscation: bool = False  # nothing is added here, whatever is asked

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return cls._with_one_unknown(_given(data)) if isinstance(data, dict) else data


class GenerationRequest(_Table):
    """What both kinds of requests have."""

    model: str | None = None
    temperature: float = Field(default=1.0, ge=0, le=2)
    max_tokens: Length | None = None
    n: int = Field(default=1, ge=1, le=128)
    stop: StopString | Annotated[list[StopString], Len(0, 4)] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool = False

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = _given(data)
        for name in given.keys() & _NEUTRAL.keys():
            if not _among(given[name], _NEUTRAL[name]):
                raise PydanticCustomError(
                    "unsupported",
                    "{name} {got} is not supported: this server samples from the whole distribution of the model, "
                    "as plain text; leave it out",
                    {"name": name, "got": repr(given[name])[:80]},
                )
        left = {name: value for name, value in given.items() if name not in _NEUTRAL and name not in _IRRELEVANT}
        return cls._with_one_unknown(left)

    @model_validator(mode="after")
    def _refuse_what_says_nothing(self) -> "GenerationRequest":
        if 0 < self.temperature < COOLEST:
            raise PydanticCustomError(
                "too_cool",
                "{name} is 0, for the most probable token, or {least} and more",
                {"name": "temperature", "least": COOLEST},
            )
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("contradiction", "{name} needs stream to be true", {"name": "stream_options"})
        return self

    @property
    def stop_strings(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class ChatRequest(GenerationRequest):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Len(1, MAX_ITEMS)]
    max_completion_tokens: Length | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("contradiction", "{name} needs logprobs to be true", {"name": "top_logprobs"})
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise PydanticCustomError(
                "contradiction", "{name} and max_tokens are one: give one", {"name": "max_completion_tokens"}
            )
        return self

    @property
    def top(self) -> int | None:
        """How many of the most probable tokens are wanted beside each; None where no log-probabilities are."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(GenerationRequest):
    """POST /v1/completions: one prompt or several, each as text or as token ids."""

    prompt: str | list[int] | list[str] | list[list[int]]
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @field_validator("prompt", mode="before")
    @classmethod
    def _refuse_mixtures(cls, prompt: Any) -> Any:
        # Looked at here, up to the first that is wrong: pydantic tells of each number of a long list, once a kind.
        match prompt:
            case "" | []:
                raise PydanticCustomError("empty", "{name} must not be empty", {"name": "prompt"})
            case str():
                of_a_kind = True
            case [int(), *_]:
                of_a_kind = _are_ids(prompt)
            case [str(), *_]:
                of_a_kind = all(isinstance(one, str) for one in prompt)
            case [list(), *_]:
                of_a_kind = all(isinstance(one, list) and _are_ids(one) for one in prompt)
            case _:
                of_a_kind = False
        if not of_a_kind:
            raise PydanticCustomError(
                "prompt", "{name} is a text, token ids, or a list of texts or of token ids", {"name": "prompt"}
            )
        if not isinstance(prompt[0], int) and not isinstance(prompt, str) and len(prompt) > MAX_ITEMS:
            raise PydanticCustomError(
                "too_many", "a {name} has {most} texts or lists of ids at most", {"name": "prompt", "most": MAX_ITEMS}
            )
        return prompt

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        match self.prompt:
            case str(text):
                return [text]
            case [int(), *_] as ids:
                return [ids]  # type: ignore[list-item]  # pydantic has seen to it that they are all ints
            case several:
                return several  # type: ignore[return-value]  # texts alone or lists of ints alone, as pydantic knows

    @property
    def top(self) -> int | None:
        """How many of the most probable tokens are wanted beside each; None where no log-probabilities are."""
        return self.logprobs


def _are_ids(values: Sequence[Any]) -> bool:
    return all(type(value) is int for value in values)


def _among(value: Any, neutral: tuple[Any, ...]) -> bool:
    """Whether it is one of them; JSON's true is not its 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in neutral)


AnyRequest = ChatRequest | CompletionRequest


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def chat_logprobs(token_bytes: TokenBytes, tokens: Sequence[Token]) -> dict[str, Any]:
    """`choices[].logprobs` of chat completions."""

    def entry(token_id: int, logp: float) -> dict[str, Any]:
        spelt = token_bytes.continuing(token_id)
        return {"token": spelt.decode(errors="replace"), "logprob": logp, "bytes": list(spelt)}

    return {
        "content": [
            {**entry(t.id, t.logp), "top_logprobs": [entry(*candidate) for candidate in t.top_logprobs]} for t in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(token_bytes: TokenBytes, tokens: Sequence[Token], offsets: Sequence[int]) -> dict[str, Any]:
    """`choices[].logprobs` of completions; candidates that are spelt the same show once, the most probable one."""

    def spelt(token_id: int) -> str:
        return token_bytes.continuing(token_id).decode(errors="replace")

    return {
        "tokens": [spelt(t.id) for t in tokens],
        "token_logprobs": [t.logp for t in tokens],
        "top_logprobs": [{spelt(i): logp for i, logp in reversed(t.top_logprobs)} for t in tokens],
        "text_offset": list(offsets),
    }
