"""A model in this process answers as the server does, keeps its answers, and refuses what the server refuses."""

import pytest

from afterbase.rollout.endpoint.chat_request import Answer, ChatRequest, Failure, Reason
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.local.in_process import TOO_LONG, InProcess
from afterbase.rollout.server.app import create_app
from loopback import served

WORDS = ("one", "two and three", "What is 3 + 4?", "one")


def _requests(*, temperature: float, max_tokens: int | None, plain: bool = False) -> list[ChatRequest]:
    return [
        ChatRequest(
            messages=[{"role": "user", "content": word}],
            temperature=temperature,
            max_tokens=max_tokens,
            seed=None if temperature == 0 else 7,
            sample=sample,
            plain=plain,
        )
        for word in WORDS
        for sample in range(1 if temperature == 0 else 3)
    ]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_are_those_of_the_server(toy_lm, temperature, plain):
    requests = _requests(temperature=temperature, max_tokens=12, plain=plain)
    app = create_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=20_000)
    with served(app) as url:
        remote = Endpoint(EndpointConfig(url=f"{url}/v1", model="toy")).complete(requests)
    local = InProcess(toy_lm, name="toy").complete(requests)
    assert all(isinstance(result, Answer) for result in remote)
    assert local == remote
    assert len({answer.text for answer in local if isinstance(answer, Answer)}) > 1


def test_each_answer_has_its_own_limit(toy_lm):
    requests = [
        ChatRequest(messages=[{"role": "user", "content": "one"}], temperature=0.0, max_tokens=limit)
        for limit in (3, 9)
    ]
    short, long = InProcess(toy_lm, name="toy").complete(requests)
    assert isinstance(short, Answer)
    assert isinstance(long, Answer)
    assert (short.tokens, short.finish) == (3, "length")
    assert long.tokens == 9
    assert long.text.startswith(short.text.rstrip("\ufffd"))


def test_without_a_limit_the_context_is_one(toy_lm):
    context = toy_lm.model.config.max_position_embeddings
    request = ChatRequest(messages=[{"role": "user", "content": "one " * 220}], temperature=0.0, max_tokens=None)
    asked = InProcess(toy_lm, name="toy")
    (answer,) = asked.complete([request])
    assert isinstance(answer, Answer)
    assert 0 < answer.tokens < context


@pytest.mark.parametrize(("words", "limit"), [(2000, None), (2000, 4), (1, 100_000)])
def test_what_does_not_fit_is_refused(toy_lm, words, limit):
    request = ChatRequest(messages=[{"role": "user", "content": "one " * words}], temperature=0.0, max_tokens=limit)
    (result,) = InProcess(toy_lm, name="toy").complete([request])
    assert isinstance(result, Failure)
    assert result.reason is Reason.REFUSED
    assert TOO_LONG in result.detail


def test_a_model_without_a_template_is_asked_plainly_or_refuses(toy_lm):
    toy_lm.tokenizer.chat_template, template = None, toy_lm.tokenizer.chat_template
    try:
        requests = [
            ChatRequest(messages=[{"role": "user", "content": "one"}], temperature=0.0, max_tokens=4, plain=plain)
            for plain in (False, True)
        ]
        refused, answered = InProcess(toy_lm, name="toy").complete(requests)
    finally:
        toy_lm.tokenizer.chat_template = template
    assert isinstance(refused, Failure)
    assert "chat template" in refused.detail
    assert isinstance(answered, Answer)


def test_what_is_kept_is_not_computed_again(toy_lm, tmp_path, monkeypatch):
    asked = InProcess(toy_lm, name="toy", cache=tmp_path / "answers.sqlite")
    requests = _requests(temperature=1.0, max_tokens=6)
    seen: list[int] = []

    class StoppedError(Exception):
        pass

    def stop_after_two(index: int, _: object) -> None:
        seen.append(index)
        if len(seen) == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        asked.complete(requests, on_finished=stop_after_two)
    computed = []
    stream = asked._engine.stream

    def counted(prompts, **settings):
        computed.extend(prompts)
        return stream(prompts, **settings)

    monkeypatch.setattr(asked._engine, "stream", counted)
    again = asked.complete(requests)
    assert len(computed) == len(requests) - 2
    assert again == InProcess(toy_lm, name="toy").complete(requests)
