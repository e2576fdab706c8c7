"""Requests for an endpoint in a test, and what it is set to and answers."""

from collections.abc import Callable
from typing import Any

from afterbase.rollout.chat_model import ChatRequest, Failure, Reply
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig
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


def texts(replies: list[Reply]) -> list[str]:
    assert all(reply.failure is None for reply in replies), replies
    return [reply.text for reply in replies]


def failures(replies: list[Reply]) -> list[Failure]:
    return [reply.failure for reply in replies if reply.failure is not None]
