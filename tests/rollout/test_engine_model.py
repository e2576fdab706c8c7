"""A model in this process answers as the server does, keeps its answers, and refuses what the server refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from afterbase.core.tokens import prompt_ids
from afterbase.model.families import longest_sequence
from afterbase.model.load import LanguageModel
from afterbase.rollout.chat_model import ChatRequest, Reason
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.engine_model import EngineModel, text_of
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.problem_replies import by_prompt, sampled_requests
from afterbase.rollout.server.app import create_app
from loopback import served

USER, SYSTEM = [{"role": "user", "content": "What is 3 + 4?"}], {"role": "system", "content": "Think."}
WORDS = ("one", "two and three", "What is 3 + 4?", "one")


def _served(lm: LanguageModel, *, cache: Path | None = None) -> EngineModel:
    context = longest_sequence(lm.model.config)
    return EngineModel(lm, name="toy", context=context, as_served=True, cache=cache)


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
    local = _served(toy_lm).complete(requests)
    assert all(reply.failure is None for reply in remote)
    assert local == remote
    assert [len(reply.token_ids or ()) for reply in local] == [reply.tokens for reply in remote]
    assert len({reply.text for reply in local}) > 1


def test_log_probabilities_are_those_of_the_server(toy_lm, tmp_path):
    requests = [replace(one, top_logprobs=5) for one in _requests(temperature=1.0, max_tokens=3)]
    app = create_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=20_000)
    with served(app) as url:
        remote = Endpoint(EndpointConfig(url=f"{url}/v1", model="toy")).complete(requests)
    local = _served(toy_lm, cache=tmp_path / "answers.sqlite").complete(requests)
    for ours, theirs in zip(local, remote, strict=True):
        assert ours.logps is not None
        assert theirs.logps is not None
        assert (ours.text, ours.finish, len(ours.logps)) == (theirs.text, theirs.finish, ours.tokens)
        for one, other in zip(ours.logps, theirs.logps, strict=True):  # sums of float32 depend on the batch
            assert (one.token, one.logp) == (other.token, pytest.approx(other.logp, abs=1e-4))
            assert one.top == pytest.approx(other.top, abs=1e-4)
            assert 0 < len(one.top) <= 5  # candidates that are spelt the same are one
    assert _served(toy_lm, cache=tmp_path / "answers.sqlite").complete(requests) == local
    assert _served(toy_lm).complete(requests) == local


def test_each_answer_has_its_own_limit(toy_lm):
    requests = [
        ChatRequest(messages=[{"role": "user", "content": "one"}], temperature=0.0, max_tokens=limit)
        for limit in (3, 9)
    ]
    short, long = _served(toy_lm).complete(requests)
    assert (short.tokens, short.finish) == (3, "length")
    assert long.tokens == 9
    assert long.text.startswith(short.text.rstrip("\ufffd"))


def test_without_a_limit_the_context_is_one(toy_lm):
    context = toy_lm.model.config.max_position_embeddings
    request = ChatRequest(messages=[{"role": "user", "content": "one " * 220}], temperature=0.0, max_tokens=None)
    asked = _served(toy_lm)
    (answer,) = asked.complete([request])
    assert 0 < answer.tokens < context


@pytest.mark.parametrize(("words", "limit"), [(2000, None), (2000, 4), (1, 100_000)])
def test_what_does_not_fit_is_refused(toy_lm, words, limit):
    request = ChatRequest(messages=[{"role": "user", "content": "one " * words}], temperature=0.0, max_tokens=limit)
    (result,) = _served(toy_lm).complete([request])
    assert result.failure is not None
    assert result.failure.reason is Reason.TOO_LONG


def test_a_model_without_a_template_is_asked_plainly_or_refuses(toy_lm):
    toy_lm.tokenizer.chat_template, template = None, toy_lm.tokenizer.chat_template
    try:
        requests = [
            ChatRequest(messages=[{"role": "user", "content": "one"}], temperature=0.0, max_tokens=4, plain=plain)
            for plain in (False, True)
        ]
        refused, answered = _served(toy_lm).complete(requests)
    finally:
        toy_lm.tokenizer.chat_template = template
    assert refused.failure is not None
    assert refused.failure.reason is Reason.NOT_RENDERED
    assert "chat template" in refused.failure.detail
    assert answered.failure is None


def test_what_is_kept_is_not_computed_again(toy_lm, tmp_path, monkeypatch):
    asked = _served(toy_lm, cache=tmp_path / "answers.sqlite")
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
    assert asked._engine is not None
    stream = asked._engine.stream

    def counted(prompts, **settings):
        computed.extend(prompts)
        return stream(prompts, **settings)

    monkeypatch.setattr(asked._engine, "stream", counted)
    again = asked.complete(requests)
    assert len(computed) == len(requests) - 2
    assert again == _served(toy_lm).complete(requests)


def test_samples_of_a_prompt_are_the_engines(toy_lm):
    requests = sampled_requests([USER, [SYSTEM, *USER]], samples=4, temperature=1.3, max_new_tokens=12, seed=5)
    replies = EngineModel(toy_lm, name="toy").complete(requests)
    stop = toy_lm.tokenizer.eos_token_id
    groups = LocalEngine(toy_lm.model).generate(
        [prompt_ids(toy_lm.tokenizer, messages) for messages in (USER, [SYSTEM, *USER])],
        samples=4,
        sampling=Sampling(temperature=1.3, max_new_tokens=12, stop_token_ids=(stop,), seed=5),
    )
    completions = [completion for group in groups for completion in group]
    assert [reply.token_ids for reply in replies] == [tuple(c.token_ids) for c in completions]
    assert [reply.text for reply in replies] == [text_of(toy_lm, c) for c in completions]
    assert [reply.truncated for reply in replies] == [c.token_ids[-1] != stop for c in completions]


def test_what_a_template_loses_and_what_is_too_long_fail_alone(toy_lm):
    context = toy_lm.model.config.max_position_embeddings
    torn, long = ([{"role": "user", "content": text}] for text in ("\ud800", "word " * context))
    asked = EngineModel(toy_lm, name="toy", context=context)
    sampled = {"samples": 2, "temperature": 1.0, "max_new_tokens": 8, "seed": 1}
    first, lost, crowded, second = by_prompt(
        requests := sampled_requests([USER, torn, long, [SYSTEM, *USER]], **sampled), asked.complete(requests)
    )
    assert [r.failure.reason for r in lost + crowded if r.failure] == [Reason.NOT_RENDERED] * 2 + [Reason.TOO_LONG] * 2
    assert first + second == asked.complete(sampled_requests([USER, [SYSTEM, *USER]], **sampled))


def test_a_prompt_may_fill_the_context_with_its_answer_and_no_more(toy_lm):
    room = toy_lm.model.config.max_position_embeddings - len(prompt_ids(toy_lm.tokenizer, USER))
    asked = EngineModel(toy_lm, name="toy", context=toy_lm.model.config.max_position_embeddings)
    for limit, fits in ((room, True), (room + 1, False)):
        (reply,) = asked.complete([ChatRequest(messages=USER, temperature=1.0, max_tokens=limit)])
        assert (reply.failure is None) == fits


def test_lineage_names_the_checkpoint(toy_lm):
    assert EngineModel(toy_lm, name="key").describe() == {"name": "model", "checkpoint": "key"}


def completion(token_ids: list[int], finish: FinishReason) -> Completion:
    return Completion(token_ids=token_ids, logps=[-1.0] * len(token_ids), finish=finish, prompt_index=0, sample_index=0)


@pytest.mark.parametrize("text", ["a , b .  c 'll  (12)\n\nx", "été – 中文", " leading and trailing ", ""])
def test_text_survives_tokens_unchanged_and_without_the_stop_token(toy_lm, text: str):
    ids = toy_lm.tokenizer(text)["input_ids"]
    stop = toy_lm.tokenizer.eos_token_id
    assert text_of(toy_lm, completion([*ids, stop], FinishReason.STOP)) == text
    assert text_of(toy_lm, completion(ids, FinishReason.LENGTH)) == text


def test_a_special_token_inside_an_answer_is_seen(toy_lm):
    user = toy_lm.tokenizer.convert_tokens_to_ids("<|user|>")
    ids = [*toy_lm.tokenizer("1")["input_ids"], user, toy_lm.tokenizer.eos_token_id]
    assert text_of(toy_lm, completion(ids, FinishReason.STOP)) == "1<|user|>"
