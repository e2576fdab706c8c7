"""What the server takes and says: the part of OpenAI's chat and completions API that changes an answer as it promises.

https://platform.openai.com/docs/api-reference. A field that the server does not know, or knows and cannot honour, is an
error, never ignored. Log-probabilities are natural, under softmax(logits / T) with T = 1 when greedy: the distribution
that was sampled from. They, the usage and `token_ids` count the stop token.
"""

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Len
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from transformers import PreTrainedTokenizerFast

from afterbase.rollout.growing import token_bytes
from afterbase.rollout.live import Token

# Fields that would change the answer, with the values under which they don't.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (1, None),
    "top_k": (0, -1, None),
    "min_p": (0, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "repetition_penalty": (1, None),
    "logit_bias": ({}, None),
    "tools": ([], None),
    "tool_choice": ("none", None),
    "functions": ([], None),
    "response_format": ({"type": "text"}, None),
    "echo": (False, None),
    "suffix": (None,),
    "best_of": (1, None),
    "modalities": (["text"], None),
}
# Fields about the request's book-keeping: the answer is the same with and without them.
_IRRELEVANT = ("user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier")

StopString = Annotated[str, Len(1)]


class ApiError(Exception):
    """An answer in OpenAI's error format."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class _Table(BaseModel):
    model_config: ClassVar = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TextPart(_Table):
    type: Literal["text"]
    text: str


class Message(_Table):
    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        """As the chat template takes it."""
        parts = self.content
        return {"role": self.role, "content": parts if isinstance(parts, str) else "".join(p.text for p in parts)}


class StreamOptions(_Table):
    include_usage: bool = False


class GenerationRequest(_Table):
    """What both kinds of requests have."""

    model: str | None = None
    temperature: float = Field(default=1.0, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    n: int = Field(default=1, ge=1, le=128)
    stop: StopString | Annotated[list[StopString], Len(0, 4)] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool = False

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, neutral in _NEUTRAL.items():
            if name in data and data[name] not in neutral:
                raise PydanticCustomError(
                    "unsupported",
                    "{name} {got} is not supported: this server samples from the whole distribution of the model, "
                    "as plain text; leave it out",
                    {"name": name, "got": repr(data[name])[:80]},
                )
        return {name: value for name, value in data.items() if name not in _NEUTRAL and name not in _IRRELEVANT}

    @property
    def stop_strings(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class ChatRequest(GenerationRequest):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Len(1)]
    max_completion_tokens: int | None = Field(default=None, ge=1)
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

    @field_validator("prompt")
    @classmethod
    def _refuse_empty(cls, prompt: Any) -> Any:
        if len(prompt) == 0:
            raise PydanticCustomError("empty", "{name} must not be empty", {"name": "prompt"})
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


AnyRequest = ChatRequest | CompletionRequest


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def chat_logprobs(tokenizer: PreTrainedTokenizerFast, tokens: list[Token]) -> dict[str, Any]:
    """`choices[].logprobs` of chat completions."""

    def entry(token_id: int, logp: float) -> dict[str, Any]:
        return {
            "token": tokenizer.decode([token_id]),
            "logprob": logp,
            "bytes": list(token_bytes(tokenizer, token_id)),
        }

    return {
        "content": [
            {**entry(t.id, t.logp), "top_logprobs": [entry(*candidate) for candidate in t.top]} for t in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(tokenizer: PreTrainedTokenizerFast, tokens: list[Token], offsets: list[int]) -> dict[str, Any]:
    """`choices[].logprobs` of completions; candidates that are spelt the same show once, the most probable one."""
    return {
        "tokens": [tokenizer.decode([t.id]) for t in tokens],
        "token_logprobs": [t.logp for t in tokens],
        "top_logprobs": [{tokenizer.decode([i]): logp for i, logp in reversed(t.top)} for t in tokens],
        "text_offset": offsets,
    }
