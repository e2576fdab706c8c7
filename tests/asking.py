"""Requests for an endpoint in a test, and what it is set to and answers."""

from collections.abc import Callable
from typing import Any

from afterbase.rollout.endpoint.chat_request import Answer, ChatRequest
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig, Result
from misbehaving import completion, reply

SECONDS = 60.0


def requests(count: int) -> list[ChatRequest]:
    return [
        ChatRequest(messages=[{"role": "user", "content": str(number)}], temperature=1.0, max_tokens=5)
        for number in range(count)
    ]


def config(url: str, **changed: Any) -> EndpointConfig:
    return EndpointConfig(**{"url": url, "model": "m", "request_timeout": SECONDS, "first_wait": 0.0, **changed})


def echo(body: dict[str, Any]) -> bytes:
    return reply(200, completion(f"answer {body['messages'][-1]['content']}"))


def first_then(bad: bytes, then: Callable[[dict[str, Any]], bytes] = echo) -> Callable[[dict[str, Any]], bytes]:
    """Each request's first attempt gets `bad`."""
    seen: set[str] = set()

    def answer(body: dict[str, Any]) -> bytes:
        content = body["messages"][-1]["content"]
        if content in seen:
            return then(body)
        seen.add(content)
        return bad

    return answer


def texts(results: list[Result]) -> list[str]:
    assert all(isinstance(result, Answer) for result in results), results
    return [result.text for result in results if isinstance(result, Answer)]
