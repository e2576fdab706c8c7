"""What the server refuses, and that it says so in OpenAI's form, over a real socket."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from afterbase.rollout.server.app import create_app
from fuzz_requests import RAW_CHATS, RAW_COMPLETIONS, in_form
from loopback import served

MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
SECONDS = 60


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"top_p": 0.9}, "top_p"),
        ({"top_k": 5}, "top_k"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temprature": 0.3}, "temprature"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 0}, "n"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ""}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_tokens": 3, "max_completion_tokens": 3}, "max_completion_tokens"),
        ({"max_tokens": 1024}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "long " * 600}]}, "max_tokens"),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_what_cannot_be_honoured_is_refused_in_openais_format(refusing, changed, param):
    answer = httpx.post(f"{refusing}/v1/chat/completions", json={"messages": MESSAGES, **changed})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith(param)
    assert param.split(".")[0] in error["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"prompt": []}, "empty"),
        ({"prompt": ""}, "empty"),
        ({"prompt": ["x", ""]}, "one token or more"),
        ({"prompt": [1, 100_000]}, "each from 0 to"),
        ({"prompt": "x", "echo": True}, "echo"),
        ({"prompt": "x", "model": "gpt"}, "only `toy`"),
        ([], "must be an object, not a list"),
    ],
    ids=str,
)
def test_completions_refuse_too(refusing, body, said):
    answer = httpx.post(f"{refusing}/v1/completions", json=body)
    assert answer.status_code == (404 if "model" in body else 400)
    assert said in answer.json()["error"]["message"]


def test_what_is_no_request_is_told_so(refusing):
    post = f"{refusing}/v1/completions"
    broken = httpx.post(post, content=b'{"prompt": "x', headers={"Content-Type": "application/json"})
    assert (broken.status_code, "no JSON" in broken.json()["error"]["message"]) == (400, True)
    lost = httpx.post(f"{refusing}/v2/completions", json={})
    assert (lost.status_code, "Not Found" in lost.json()["error"]["message"]) == (404, True)


@pytest.fixture(scope="module")
def asked(refusing) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=refusing, timeout=SECONDS, headers={"Content-Type": "application/json"}) as client:
        yield client


@settings(max_examples=100)
@given(body=RAW_CHATS)
def test_whatever_is_sent_to_chat_is_answered_in_form(asked, body):
    answer = asked.post("/v1/chat/completions", content=body)
    assert in_form(answer.status_code, answer.content), answer.content


@settings(max_examples=100)
@given(body=RAW_COMPLETIONS)
def test_whatever_is_sent_to_completions_is_answered_in_form(asked, body):
    answer = asked.post("/v1/completions", content=body)
    assert in_form(answer.status_code, answer.content), answer.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/models/other", 404),
        ("GET", "/v1/models/", 404),
        ("POST", "/v1/completions/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/v1/completions", 405),
        ("GET", "/%ff%00%ed%a0%bd", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_form(asked, method, path, status):
    answer = asked.request(method, path)
    assert answer.status_code == status
    assert in_form(status, answer.content), answer.content


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """A server for requests that never reach the engine: the shipped model, at its smallest."""
    from afterbase.model.folders import find
    from afterbase.model.load import load

    with served(create_app(load(find("tiny-v3")), name="toy", token=None, max_rows=1, token_budget=2048)) as base:
        yield base
