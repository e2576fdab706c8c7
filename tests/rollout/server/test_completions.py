"""From an engine's events to OpenAI's JSON, without an engine: whole and in chunks they say the same."""

import asyncio
from typing import Any

import pytest

from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.server.completions import Answering
from afterbase.rollout.server.incremental_text import Spelling
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
def spelling(toy_tokenizer):
    return Spelling(toy_tokenizer)


def answered(spelling, wanted, events: list[tuple[int, Any]], *, stream: bool = False, prompts: int = 1) -> Any:
    """What comes of the events, each (sample, event) of the first prompt's or, beyond n, of the next ones'."""

    async def run():
        prompt_ids = [[1, 2]] * prompts
        answering = Answering(spelling, wanted, prompt_ids, name="toy", stop_ids=(0,))
        asked = [answering.ask(i, SAMPLING) for i in range(prompts)]
        for sample, event in events:
            asked[sample // wanted.n].send(sample % wanted.n, event)
        return [chunk async for chunk in answering.chunks()] if stream else await answering.whole()

    return asyncio.run(run())


def test_a_whole_answer_has_text_reason_and_usage(spelling, encode) -> None:
    ids = encode("ab")
    events = [*((0, token(i)) for i in [*ids, 0]), (0, FinishReason.STOP)]
    body = answered(spelling, ChatRequest(**CHAT), events)
    (choice,) = body["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "ab"},
        "finish_reason": "stop",
        "logprobs": None,
    }
    assert body["usage"]["completion_tokens"] == len(ids) + 1
    assert (body["object"], body["model"]) == ("chat.completion", "toy")


def test_choices_that_come_in_turn_are_kept_apart(spelling, encode) -> None:
    (a,), (b,) = encode("a"), encode("b")
    events = [(0, token(a)), (1, token(b)), (1, FinishReason.LENGTH), (0, token(b)), (0, FinishReason.STOP)]
    body = answered(spelling, ChatRequest(**CHAT, n=2), events)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["ab", "b"]
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]


def test_several_prompts_of_a_completion_are_answered_in_their_order(spelling, encode) -> None:
    (a,), (b,) = encode("a"), encode("b")
    events = [(1, token(b)), (1, FinishReason.STOP), (0, token(a)), (0, FinishReason.STOP)]
    body = answered(spelling, CompletionRequest(prompt=["x", "y"]), events, prompts=2)
    assert [choice["text"] for choice in body["choices"]] == ["a", "b"]


@pytest.mark.parametrize("stop", [None, "b"])
def test_chunks_join_to_the_whole(spelling, encode, stop) -> None:
    events = [*((0, token(i)) for i in encode("a, b and c")), (0, FinishReason.LENGTH)]
    whole = answered(spelling, ChatRequest(**CHAT, stop=stop), events)
    chunks = answered(spelling, ChatRequest(**CHAT, stop=stop, stream=True), events, stream=True)
    (choice,) = whole["choices"]
    assert choice["message"]["content"] == ("a, " if stop else "a, b and c")
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
    assert "".join(deltas) == choice["message"]["content"]
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]


def test_logprobs_and_token_ids_are_there_where_they_were_asked_for(spelling, encode) -> None:
    ids = encode("ab")
    events = [*((0, token(i)) for i in ids), (0, FinishReason.STOP)]
    wanted = ChatRequest(**CHAT, logprobs=True, top_logprobs=1, return_token_ids=True)
    (choice,) = answered(spelling, wanted, events)["choices"]
    assert [entry["logprob"] for entry in choice["logprobs"]["content"]] == [-0.5] * len(ids)
    assert choice["token_ids"] == ids


def test_an_engine_that_fails_ends_the_answer_in_an_error(spelling) -> None:
    with pytest.raises(ApiError, match="the engine failed: no memory") as raised:
        answered(spelling, ChatRequest(**CHAT), [(0, RuntimeError("no memory"))])
    assert raised.value.status == 500


def test_samples_are_cancelled_once_finished_or_once_nobody_reads(spelling, encode) -> None:
    async def run() -> list[bool]:
        answering = Answering(spelling, ChatRequest(**CHAT, n=2), [[1]], name="toy", stop_ids=(0,))
        asked = answering.ask(0, SAMPLING)
        seen = [asked.cancelled(0)]
        asked.send(0, FinishReason.STOP)
        asked.send(1, FinishReason.STOP)
        await answering.whole()
        seen.append(asked.cancelled(0))
        later = answering.ask(0, SAMPLING)
        answering.abort()
        return [*seen, later.cancelled(1)]

    assert asyncio.run(run()) == [False, True, True]
