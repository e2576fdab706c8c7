"""A chat completion as servers write it, read as a reply."""

import math
from typing import Any

from afterbase.rollout.chat_model import Failure, Reason, Reply, TokenLogp
from afterbase.rollout.endpoint.budget import BYTES_OF_A_TOKEN, token_count

# Where the text of a part stands, by its type.
_TEXT_PARTS = {"text": "text", "output_text": "text", "refusal": "refusal"}
_THOUGHT_PARTS = ("thinking", "reasoning", "redacted_thinking")
_THOUGHT_FIELDS = ("thinking", "reasoning", "text", "content", "summary")


class UnreadableError(Exception):
    """A body that is no chat completion; the message says what is missing.

    `worked`: there is an answer in it, in a form that is not known: it was paid, and would come so again.
    """

    def __init__(self, said: str, *, worked: bool = False) -> None:
        super().__init__(said)
        self.worked = worked


def reply_of(body: Any) -> Reply:
    """The first choice of a completion, in a chat or plain. Raises UnreadableError for anything else.

    A server that counts no tokens is taken to write one in four bytes. A refusal that is kept apart is the text. An
    answer that is whole and holds no text is a failure, which another try would not mend.
    """
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
    finish = finish if isinstance(finish, str) else "unknown"
    said = _refusal(message, text, finish)
    if said is not None:
        return Reply(tokens=tokens, finish=finish, failure=Failure(reason=Reason.REFUSED, detail=said))
    return Reply(text=text, reasoning=reasoning, tokens=tokens, finish=finish, logps=logps)


def _refusal(message: dict[str, Any], text: str, finish: str) -> str | None:
    if not text and (message.get("tool_calls") or message.get("function_call")):
        return "an answer of tool calls, which nobody offered, without a text"
    return "the endpoint's content filter cut the answer" if finish.lower() == "content_filter" else None


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
    reasoning_field = message.get("reasoning_content") or message.get("reasoning")
    thoughts += [_thought(reasoning_field)] if reasoning_field else []
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
