"""From bodies to token ids: bounded before any work, in OpenAI's words where it is too much."""

import asyncio
import json
import threading
from typing import Any

import pytest
from hypothesis import given

from afterbase.rollout.server.openai_api import AnyRequest, ApiError, ChatRequest, CompletionRequest
from afterbase.rollout.server.request_tokens import MAX_KEPT, RequestValidator, ValidatedRequest, read_request
from fuzz_requests import RAW_CHATS, RAW_COMPLETIONS, in_form

CONTEXT = 512


@pytest.fixture
def validator(toy_lm):
    made = RequestValidator(toy_lm, name="toy", context=CONTEXT, prompt_tokens=4 * CONTEXT)
    yield made
    made.close()


def validated(validator: RequestValidator, body: dict[str, Any] | bytes, *, left: bool = False) -> ValidatedRequest:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    gone = threading.Event()
    if left:
        gone.set()
    kind = CompletionRequest if b'"prompt"' in sent else ChatRequest
    return asyncio.run(validator.validate(kind, sent, gone))


def chat(*contents: str, **settings: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents], **settings}


def answer_to(kind: type[AnyRequest], body: bytes) -> tuple[int, bytes]:
    try:
        read_request(kind, body)
    except ApiError as error:
        return error.status, json.dumps(error.body).encode()
    return 200, b'{"choices": []}'


@given(body=RAW_CHATS)
def test_any_chat_is_a_request_or_is_refused_in_form(body):
    assert in_form(*answer_to(ChatRequest, body))


@given(body=RAW_COMPLETIONS)
def test_any_completion_is_a_request_or_is_refused_in_form(body):
    assert in_form(*answer_to(CompletionRequest, body))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"messages": NaN}', b"[" * 100_000, b"1" * 5000,
        b'{"messages": [{"role": "user", "content": "a\\ud83d"}]}',
        b'{"messages": [{"role": "us\\udc00er", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": "a"}], "stop": "\\ud83d"}',
        b'{"messages": [{"role": "user", "content": "a"}], "model": "\\ud83d"}',
        b'{"messages": [{"role": "user", "content": "a"}], "user": "\\ud83d"}',
        b'{"messages": [{"role": "user", "content": "a"}], "\\ud83d": 1}',
        b'{"messages": [{"role": "user", "content": "a\xed\xa0\xbd"}]}',
    ],
    ids=lambda body: repr(body)[:60],
)  # fmt: skip
def test_what_is_no_json_is_told_so(body):
    with pytest.raises(ApiError) as raised:
        read_request(ChatRequest, body)
    assert raised.value.status == 400


def test_a_pair_of_surrogates_is_one_character():
    body = b'{"messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}'
    request = read_request(ChatRequest, body)
    assert isinstance(request, ChatRequest)
    assert request.messages[0].content == "😀"


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (chat("x" * 100_000), "messages", "a text of 100000 characters is more than that"),
        (chat("x " * 900), "max_tokens", "leaves no room"),
        (chat("x", max_tokens=511), "max_tokens", "leaves no room for max_tokens 511"),
        ({"prompt": [[1]] * 2000, "n": 2}, "n", "are 4000"),
        ({"prompt": [[1] * 500] * 5}, "prompt", "2048 tokens at most, not 2500"),
        ({"prompt": [[1]] * 2000, "max_tokens": 263}, "max_tokens", "leaves max_tokens 262 for each"),
        ({"prompt": [1], "n": 128, "max_tokens": 300, "logprobs": 20}, "max_tokens", "leaves max_tokens 195 for each"),
        ({"prompt": [400]}, "prompt", "each from 0 to 399"),
        ({"prompt": [-1]}, "prompt", "each from 0 to 399"),
        ({"prompt": [[1], []]}, "prompt", "one token or more"),
        ({"prompt": [1], "max_tokens": 2**31 - 1}, "max_tokens", "leaves no room"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_work_is_bounded_before_it_is_begun(validator, body, param, said):
    with pytest.raises(ApiError, match=said) as raised:
        validated(validator, body)
    assert (raised.value.status, raised.value.body["error"]["param"]) == (400, param)


def test_without_a_limit_all_choices_share_what_may_be_kept(validator):
    alone, many = (
        validated(validator, chat("x")),
        validated(validator, chat("x", n=128, logprobs=True, top_logprobs=20)),
    )
    assert alone.max_new_tokens == CONTEXT - len(alone.prompts[0])
    assert many.max_new_tokens == MAX_KEPT // (128 * 21)


def test_a_template_that_refuses_is_quoted(validator, toy_lm, monkeypatch):
    for template, said in (
        ("{{ raise_exception('Only users here!') }}", "Only users here!"),
        ("{{ messages[0].content.nothing() }}", "nothing"),
        ("{{ 1 // 0 }}", "zero"),
        ("{% for m in messages %}{% endfor %}", "as it was written"),
    ):
        monkeypatch.setattr(toy_lm.tokenizer, "chat_template", template)
        with pytest.raises(ApiError, match=said) as raised:
            validated(validator, chat("x"))
        assert (raised.value.status, raised.value.body["error"]["param"]) == (400, "messages")


def test_a_client_that_has_left_is_not_worked_for(validator):
    with pytest.raises(ApiError) as raised:
        validated(validator, {"prompt": ["x"] * 2000}, left=True)
    assert raised.value.status == 499
