"""Bodies for the chat and completions API that hypothesis draws: near to right ones, far from them, and no JSON at all.

`in_form` says what every answer has to be, whatever was sent.
"""

import json
from typing import Any

from hypothesis import strategies as st

CHARACTERS = st.characters(codec=None)  # lone surrogates too: JSON can spell them
TEXTS = st.text(CHARACTERS, max_size=20)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([10**30, -(2**63) - 1, 2**31, 1e-45, 1e308, -0.0, 0.5, float("nan"), float("inf")]),
    st.floats(),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
_PARTS = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["text", "image_url", "refusal", None]) | JSON, "text": TEXTS | JSON}
)
_MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool", None]) | JSON,
        "content": TEXTS | st.lists(_PARTS, max_size=3) | JSON,
    },
    optional={
        "name": st.just("bob") | JSON,
        "refusal": TEXTS | JSON,
        "tool_calls": JSON,
        "function_call": JSON,
        "audio": JSON,
        "annotations": JSON,
        "reasoning_content": JSON,
    },
)
_PROMPTS = st.one_of(
    TEXTS, st.lists(st.integers(-2, 600), max_size=5), st.lists(TEXTS, max_size=3), st.lists(JSON, max_size=3), JSON
)
_COMMON: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0, 1, 0.7, 1e-4, 2.0, 1e-45, None]) | JSON,
    "n": st.sampled_from([1, 2, None]) | JSON.filter(lambda n: not isinstance(n, int) or n < 3 or n > 128),
    "stop": TEXTS | st.lists(TEXTS, max_size=5) | JSON,
    "seed": st.integers() | JSON,
    "stream": st.booleans() | JSON,
    "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.booleans() | JSON}) | JSON,
    "return_token_ids": st.booleans() | JSON,
    "logprobs": st.booleans() | st.integers(-1, 21) | JSON,
    "top_p": st.just(1) | JSON,
    "logit_bias": st.just({}) | JSON,
    "tools": st.just([]) | JSON,
    "tool_choice": st.just("none") | JSON,
    "response_format": st.just({"type": "text"}) | JSON,
    "user": JSON,
    "model": st.sampled_from(["toy", None]) | JSON,
    "echo": JSON,
    "best_of": JSON,
}
# Few tokens where the request is right, so that a fuzzer spends its time on requests.
_LIMIT = st.sampled_from([1, 2, 3]) | JSON.filter(lambda n: not isinstance(n, int) or n < 3 or n > 2**20)

CHATS = st.fixed_dictionaries(
    {"messages": st.lists(_MESSAGES, max_size=4) | JSON, "max_tokens": _LIMIT},
    optional={**_COMMON, "top_logprobs": st.integers(-1, 21) | JSON, "max_completion_tokens": _LIMIT},
)
COMPLETIONS = st.fixed_dictionaries({"prompt": _PROMPTS, "max_tokens": _LIMIT}, optional=_COMMON)


@st.composite
def raw(draw: st.DrawFn, bodies: st.SearchStrategy[dict[str, Any]]) -> bytes:
    """A body as it is sent: with unknown fields, cut short, with bytes put in, or with a field twice."""
    body = draw(bodies)
    if draw(st.integers(0, 4)) == 0:
        body |= draw(st.dictionaries(TEXTS, JSON, max_size=2))
    sent = json.dumps(body).encode()
    match draw(st.integers(0, 9)):
        case 0:
            sent = sent[: draw(st.integers(0, len(sent)))]
        case 1:
            at = draw(st.integers(0, len(sent)))
            sent = sent[:at] + draw(st.binary(max_size=6)) + sent[at:]
        case 2:
            sent = sent[:-1] + b"," + sent[1:]
        case 3:
            depth = draw(st.sampled_from([10, 300, 30_000]))
            sent = b'{"messages":' + b"[" * depth + b"]" * depth + b"}"
    return sent


RAW_CHATS, RAW_COMPLETIONS = raw(CHATS), raw(COMPLETIONS)


def in_form(status: int, content: bytes) -> bool:
    """Whether an answer is right in form: no fault of the server's, and any refusal in OpenAI's format."""
    if status == 200:
        text = content.decode()
        return text.endswith("data: [DONE]\n\n") if text.startswith("data: ") else "choices" in json.loads(text)
    error = json.loads(content)["error"]
    return (
        400 <= status < 500
        and set(error) == {"message", "type", "param", "code"}
        and error["type"] == "invalid_request_error"
        and isinstance(error["message"], str)
        and bool(error["message"])
        and isinstance(error["param"], str | None)
        and isinstance(error["code"], str | None)
    )
