"""From an engine's events to OpenAI's JSON, without an engine: whole and in chunks they say the same."""

import asyncio
from typing import Any

import pytest

from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.server.completions import CompletionResponse
from afterbase.rollout.server.incremental_text import TokenBytes
from afterbase.rollout.server.openai_api import ApiError, ChatRequest, CompletionRequest
from afterbase.rollout.server.sample_request import Token

SAMPLING = Sampling(temperature=1.0, max_new_tokens=9, stop_token_ids=(0,), seed=0)
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "?"}]}


@pytest.fixture(scope="module")
def encode(toy_tokenizer):
    return lambda text: toy_tokenizer(text, add_special_tokens=False)["input_ids"]


def token(token_id: int) -> Token:
    return Token(id=token_id, logp=-0.5, top_logprobs=((token_id, -0.5),))


@pytest.fixture(scope="module")
def token_bytes(toy_tokenizer):
    return TokenBytes(toy_tokenizer)


def answered(token_bytes, request, events: list[tuple[int, Any]], *, stream: bool = False, prompts: int = 1) -> Any:
    """What comes of the events, each (sample, event) of the first prompt's or, beyond n, of the next ones'."""

    async def run():
        prompt_ids = [[1, 2]] * prompts
        response = CompletionResponse(token_bytes, request, prompt_ids, name="toy", stop_ids=(0,))
        asked = [response.sample_request(i, SAMPLING) for i in range(prompts)]
        for sample, event in events:
            asked[sample // request.n].send(sample % request.n, event)
        return [chunk async for chunk in response.chunks()] if stream else await response.whole()

    return asyncio.run(run())


def test_a_whole_answer_has_text_reason_and_usage(token_bytes, encode) -> None:
    ids = encode("ab")
    events = [*((0, token(i)) for i in [*ids, 0]), (0, FinishReason.STOP)]
    body = answered(token_bytes, ChatRequest(**CHAT), events)
    (choice,) = body["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "ab"},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert body["usage"]["completion_tokens"] == len(ids) + 1
    assert (body["object"], body["model"]) == ("chat.completion", "toy")


def test_choices_that_come_in_turn_are_kept_apart(token_bytes, encode) -> None:
    (a,), (b,) = encode("a"), encode("b")
    events = [(0, token(a)), (1, token(b)), (1, FinishReason.LENGTH), (0, token(b)), (0, FinishReason.STOP)]
    body = answered(token_bytes, ChatRequest(**CHAT, n=2), events)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["ab", "b"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]


def test_several_prompts_of_a_completion_are_answered_in_their_order(token_bytes, encode) -> None:
    (a,), (b,) = encode("a"), encode("b")
    events = [(1, token(b)), (1, FinishReason.STOP), (0, token(a)), (0, FinishReason.STOP)]
    body = answered(token_bytes, CompletionRequest(prompt=["x", "y"]), events, prompts=2)
    assert [choice["text"] for choice in body["choices"]] == ["a", "b"]


@pytest.mark.parametrize("stop", [None, "b"])
def test_chunks_join_to_the_whole(token_bytes, encode, stop) -> None:
    events = [*((0, token(i)) for i in encode("a, b and c")), (0, FinishReason.LENGTH)]
    whole = answered(token_bytes, ChatRequest(**CHAT, stop=stop), events)
    chunks = answered(token_bytes, ChatRequest(**CHAT, stop=stop, stream=True), events, stream=True)
    (choice,) = whole["choices"]
    assert choice["message"]["content"] == ("a, " if stop else "a, b and c")
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(deltas) == choice["message"]["content"]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]


def test_logprobs_and_token_ids_are_there_where_they_were_asked_for(token_bytes, encode) -> None:
    ids = encode("ab")
    events = [*((0, token(i)) for i in ids), (0, FinishReason.STOP)]
    request = ChatRequest(**CHAT, logprobs=True, top_logprobs=1, return_token_ids=True)
    (choice,) = answered(token_bytes, request, events)["choices"]
    assert [entry["logprob"] for entry in choice["logprobs"]["content"]] == [-0.5] * len(ids)
    assert choice["token_ids"] == ids


def test_an_engine_that_fails_ends_the_answer_in_an_error(token_bytes) -> None:
    with pytest.raises(ApiError, match="the engine failed: no memory") as raised:
        answered(token_bytes, ChatRequest(**CHAT), [(0, RuntimeError("no memory"))])
    assert raised.value.status == 500


def test_samples_are_cancelled_once_finished_or_once_nobody_reads(token_bytes, encode) -> None:
    async def run() -> list[bool]:
        response = CompletionResponse(token_bytes, ChatRequest(**CHAT, n=2), [[1]], name="toy", stop_ids=(0,))
        asked = response.sample_request(0, SAMPLING)
        seen = [asked.cancelled(0)]
        asked.send(0, FinishReason.STOP)
        asked.send(1, FinishReason.STOP)
        await response.whole()
        seen.append(asked.cancelled(0))
        later = response.sample_request(0, SAMPLING)
        response.abort()
        return [*seen, later.cancelled(1)]

    assert asyncio.run(run()) == [False, True, True]
