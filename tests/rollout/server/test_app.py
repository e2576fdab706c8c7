"""The server over a real socket, asked by OpenAI's own client and by plain HTTP."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from afterbase.core.tokens import prompt_ids
from afterbase.model.attention import Segments
from afterbase.model.load import LanguageModel
from afterbase.rollout.engine import FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.server.app import create_app
from afterbase.rollout.server.completions import CompletionResponse
from afterbase.rollout.server.request_tokens import RequestValidator
from afterbase.rollout.server.sample_request import Event, SampleRequest
from afterbase.rollout.server.serving_engine import ServingEngine
from loopback import served
from tokenizer_kinds import padded

MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
SECONDS = 60


@pytest.fixture
def url(toy_lm) -> Iterator[str]:
    with served(create_app(toy_lm, name="toy", token=None, max_rows=16, token_budget=100_000)) as base:
        yield base


@pytest.fixture
def client(url) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(client: openai.OpenAI, **settings: Any) -> Any:
    return client.chat.completions.create(
        **{"model": "toy", "messages": MESSAGES, "max_tokens": 24, "seed": 1, **settings}
    )


def expected(toy_lm, prompt: list[int], samples: int, **changed: Any) -> list[Any]:
    stop = toy_lm.tokenizer.eos_token_id
    sampling = Sampling(temperature=1.0, max_new_tokens=24, stop_token_ids=(stop,), seed=1)
    return LocalEngine(toy_lm.model).generate([prompt], samples=samples, sampling=replace(sampling, **changed))[0]


def test_choices_are_the_engines_samples_under_the_chat_template(client, toy_lm):
    messages = [*MESSAGES, {"role": "assistant", "content": "2"}, {"role": "user", "content": "And 2+2?"}]
    answer = chat(client, messages=messages, n=3, extra_body={"return_token_ids": True})
    prompt = prompt_ids(toy_lm.tokenizer, messages)
    assert answer.prompt_token_ids == prompt
    completions = expected(toy_lm, prompt, 3)
    assert [choice.token_ids for choice in answer.choices] == [c.token_ids for c in completions]
    assert [choice.finish_reason for choice in answer.choices] == [str(c.finish) for c in completions]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice, completion in zip(answer.choices, completions, strict=True):
        stopped = completion.finish is FinishReason.STOP
        assert choice.message.content == toy_lm.tokenizer.decode(completion.token_ids[: -1 if stopped else None])
    tokens = sum(len(c.token_ids) for c in completions)
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (
        len(prompt),
        tokens,
        len(prompt) + tokens,
    )


def test_parts_of_text_are_one_text(client):
    parts = [{"type": "text", "text": "1+"}, {"type": "text", "text": "1?"}]
    in_parts = chat(client, messages=[MESSAGES[0], {"role": "user", "content": parts}])
    assert in_parts.choices == chat(client).choices


def test_greedy_is_the_same_each_time_and_no_seed_is_not(client):
    assert chat(client, temperature=0, seed=1).choices == chat(client, temperature=0, seed=2).choices
    texts = {chat(client, seed=None).choices[0].message.content for _ in range(3)}
    assert len(texts) == 3


def test_a_stream_is_the_answer_in_pieces(client):
    settings: Any = {"n": 2, "logprobs": True, "top_logprobs": 2}
    whole = chat(client, **settings)
    chunks = list(chat(client, **settings, stream=True, stream_options={"include_usage": True}))
    for choice in whole.choices:
        mine = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert mine[0].delta.role == "assistant"
        assert "".join(c.delta.content or "" for c in mine) == choice.message.content
        assert [token for c in mine if c.logprobs for token in c.logprobs.content] == choice.logprobs.content
        assert [c.finish_reason for c in mine if c.finish_reason] == [choice.finish_reason]
        assert mine[-1].finish_reason == choice.finish_reason
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 20, "token by token"


def test_a_stream_ends_in_done(url):
    body = {"messages": MESSAGES, "max_tokens": 3, "stream": True}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(event.removeprefix("data: "))["object"] == "chat.completion.chunk" for event in events[:-2])


def test_log_probabilities_are_those_of_a_training_forward(client, toy_lm):
    answer = chat(client, temperature=0.7, logprobs=True, top_logprobs=3, extra_body={"return_token_ids": True})
    [choice] = answer.choices
    ids = torch.tensor(answer.prompt_token_ids + choice.token_ids)
    with torch.no_grad():
        logits = toy_lm.logits(toy_lm.hidden(ids, Segments.of([len(ids)])))
    logps = torch.log_softmax(logits[len(answer.prompt_token_ids) - 1 : -1] / 0.7, -1)
    content = choice.logprobs.content
    assert len(content) == len(choice.token_ids)
    for place, (token_id, entry) in enumerate(zip(choice.token_ids, content, strict=True)):
        assert entry.logprob == pytest.approx(logps[place, token_id].item(), abs=1e-4)
        assert [top.logprob for top in entry.top_logprobs] == pytest.approx(
            logps[place].topk(3).values.tolist(), abs=1e-4
        )
    stopped = choice.finish_reason == "stop"
    text = b"".join(bytes(entry.bytes) for entry in content[: -1 if stopped else None])
    assert text.decode(errors="replace") == choice.message.content


def test_completions_take_texts_and_token_ids(client, toy_lm):
    ids = toy_lm.tokenizer("What is")["input_ids"]
    settings: Any = {"model": "toy", "temperature": 0, "logprobs": 2}
    several = client.completions.create(prompt=["What is", "1+1"], n=2, **settings)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    assert several.usage.completion_tokens == 4 * 16, "16 is OpenAI's default"
    for prompt in (ids, [ids]):
        [choice] = client.completions.create(prompt=prompt, **settings).choices
        assert (choice.text, choice.logprobs.tokens) == (several.choices[0].text, several.choices[0].logprobs.tokens)
    assert choice.text == toy_lm.tokenizer.decode(
        expected(toy_lm, ids, 1, temperature=0.0, max_new_tokens=16)[0].token_ids
    )
    logprobs = choice.logprobs
    assert all(
        max(top.values()) == pytest.approx(logp, abs=1e-5)
        for top, logp in zip(logprobs.top_logprobs, logprobs.token_logprobs, strict=True)
    )
    pieces = client.completions.create(prompt="What is", stream=True, **settings)
    chunks = [chunk.choices[0] for chunk in pieces]
    assert "".join(chunk.text for chunk in chunks) == choice.text
    assert [offset for chunk in chunks for offset in chunk.logprobs.text_offset] == logprobs.text_offset


def test_text_is_cut_before_a_stop_string(client):
    whole = chat(client).choices[0].message.content
    stop = whole[len(whole) // 2 :][:2]
    for stream in (False, True):
        answer = chat(client, stop=[stop, "never said"], stream=stream)
        choices = [chunk.choices[0] for chunk in answer] if stream else answer.choices
        text = "".join((c.delta.content or "") if stream else c.message.content for c in choices)
        assert text == whole[: whole.index(stop)]
        assert choices[-1].finish_reason == "stop"


def test_many_clients_at_once_get_what_each_gets_alone(client):
    def ask(seed: int) -> Any:
        return chat(client, seed=seed, n=1 + seed % 3, temperature=[0, 0.7, 1.0][seed % 3]).choices

    alone = [ask(seed) for seed in range(24)]
    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(ask, range(24))) == alone


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_takes_its_samples_along(url, monkeypatch, stream):
    ended: list[Event] = []
    begun, gone, over = threading.Event(), threading.Event(), threading.Event()
    submit = ServingEngine.submit

    def watch(engine: ServingEngine, request: SampleRequest) -> None:
        def send(sample: int, event: Event) -> None:
            begun.set()
            gone.wait(SECONDS)  # the engine stands still meanwhile
            if isinstance(event, FinishReason):
                ended.append(event)
            request.send(sample, event)
            if len(ended) == request.samples:
                over.set()

        submit(engine, replace(request, send=send))

    monkeypatch.setattr(ServingEngine, "submit", watch)
    body = json.dumps({"prompt": [3, 4], "max_tokens": 500, "n": 60, "stream": stream}).encode()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        assert begun.wait(SECONDS)
    gone.set()
    assert over.wait(SECONDS)
    assert ended.count(FinishReason.ABORT) > 50, "the 44 that had not begun, and most of the 16 that had"


def test_a_token_is_asked_of_clients(toy_lm):
    app = create_app(toy_lm, name="toy", token="sesame", max_rows=2, token_budget=10_000)
    with served(app) as url:
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sesame"}):
            assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 401
        with pytest.raises(openai.AuthenticationError, match="wants its token"):
            chat(openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0))
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="sesame", max_retries=0)
        assert [model.id for model in client.models.list()] == ["toy"]
        assert chat(client).choices


def test_a_fault_of_ours_is_told_by_the_name_of_its_entry(url, monkeypatch, caplog):
    monkeypatch.setattr(RequestValidator, "_validate", lambda *_: 1 // 0)
    answer = httpx.post(f"{url}/v1/completions", json={"prompt": "x"})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (500, "server_error", "internal_error")
    assert error["message"].rpartition(" ")[2] in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert "division" not in answer.text


@pytest.mark.parametrize("error", [ArithmeticError("no numbers"), None])
def test_a_stream_that_fails_midway_ends_in_an_error(url, monkeypatch, error):
    """By the engine, as an event, or by a fault of ours."""
    submit, chunk = ServingEngine.submit, CompletionResponse._chunk
    monkeypatch.setattr(
        ServingEngine, "submit", lambda engine, request: submit(engine, replace(request, send=failing(request)))
    )

    def failing(request: SampleRequest) -> Any:
        def send(sample: int, event: Event) -> None:
            request.send(sample, error if error is not None and not isinstance(event, FinishReason) else event)

        return send

    def broken(self: CompletionResponse, choice: Any, content: Any, tokens: Any, offsets: Any) -> Any:
        return chunk(self, choice, content, tokens, offsets) if not tokens else 1 // 0

    if error is None:
        monkeypatch.setattr(CompletionResponse, "_chunk", broken)
    answer = httpx.post(f"{url}/v1/completions", json={"prompt": "x", "stream": True, "logprobs": 0})
    events = answer.text.strip().split("\n\n")
    assert answer.status_code == 200
    assert json.loads(events[-1].removeprefix("data: "))["error"]["type"] == "server_error"


def test_a_temperature_that_is_next_to_nothing_harms_nobody(url, client):
    def ask(temperature: float) -> Any:
        body = {"messages": MESSAGES, "max_tokens": 24, "seed": 1, "temperature": temperature}
        return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=SECONDS)

    alone = chat(client).choices[0].message.content
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [1e-45, 1.0, 1e-320, 1.0, 1e-4, 1.0, 1e-10, 1.0]))
    assert [answer.status_code for answer in answers] == [400, 200, 400, 200, 200, 200, 400, 200]
    texts = [a.json()["choices"][0]["message"]["content"] for a in answers[1::2]]
    assert texts == [alone] * 4


def test_history_goes_back_as_the_official_client_gave_it(client):
    first = chat(client).choices[0].message
    plain = {"role": "assistant", "content": first.content}
    told = chat(client, messages=[*MESSAGES, plain, MESSAGES[-1]])
    for sent in (first, first.model_dump(), first.to_dict(), {**first.model_dump(), "reasoning_content": "hm"}):
        assert chat(client, messages=[*MESSAGES, sent, MESSAGES[-1]]).choices == told.choices


def test_nulls_are_defaults(client):
    nulls: Any = dict.fromkeys(["temperature", "n", "stop", "stream", "logprobs", "top_logprobs", "tools", "user"])
    assert chat(client, **nulls).choices == chat(client).choices


def test_a_vocabulary_beyond_the_tokenizers_is_served():
    tokenizer = padded()
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 600, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    torch.manual_seed(0)
    lm = LanguageModel(LlamaForCausalLM(config).eval(), tokenizer, mtp=None)
    with served(create_app(lm, name="toy", token=None, max_rows=4, token_budget=10_000)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        settings: Any = {
            "logprobs": True,
            "top_logprobs": 5,
            "max_tokens": 40,
            "extra_body": {"return_token_ids": True},
        }
        [choice] = chat(client, **settings).choices
        beyond = [i >= len(tokenizer) for i in choice.token_ids]
        assert any(beyond)
        assert [entry.bytes == [] for entry in choice.logprobs.content] == beyond
        assert choice.message.content == tokenizer.decode(choice.token_ids)
        chunks = list(chat(client, **settings, stream=True))
        assert "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices) == choice.message.content
        [again] = client.completions.create(model="toy", prompt=choice.token_ids, max_tokens=3).choices
        assert again.finish_reason


def test_a_long_context_is_served_and_what_does_not_fit_is_refused(toy_tokenizer):
    config = LlamaConfig(
        vocab_size=len(toy_tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=262_144, eos_token_id=toy_tokenizer.eos_token_id,
    )  # fmt: skip
    lm = LanguageModel(LlamaForCausalLM(config).eval(), toy_tokenizer, mtp=None)
    with served(create_app(lm, name="toy", token=None, max_rows=64, token_budget=262_144)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        assert client.models.retrieve("toy").to_dict()["max_model_len"] == 131_072
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: chat(client, max_tokens=n, stop="e"), [8, 9, 130_000, 24]))
        assert all(answer.choices for answer in answers)
        with pytest.raises(openai.BadRequestError, match="context is 131072"):
            chat(client, max_tokens=131_072)


def test_the_length_at_which_positions_change_bounds_the_context(toy_tokenizer):
    rope = {
        "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4,
        "original_max_position_embeddings": 96,
    }  # fmt: skip
    config = Phi3Config(
        vocab_size=len(toy_tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, pad_token_id=0,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=32_768, rope_parameters=rope,
        original_max_position_embeddings=96,
    )  # fmt: skip
    torch.manual_seed(0)  # an answer that does not stop by itself
    lm = LanguageModel(Phi3ForCausalLM(config).eval(), toy_tokenizer, mtp=None)
    with served(create_app(lm, name="toy", token=None, max_rows=64, token_budget=262_144)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        answer: Any = client.completions.create(model="toy", prompt=[5] * 60, max_tokens=36, seed=1)
        assert answer.usage.completion_tokens == 36
        with pytest.raises(openai.BadRequestError, match="context is 96"):
            client.completions.create(model="toy", prompt=[5] * 60, max_tokens=37)


def test_neutral_fields_are_taken(client):
    neutral: Any = {
        "top_p": 1, "presence_penalty": 0, "logit_bias": {}, "response_format": {"type": "text"},
        "user": "me", "tool_choice": "none", "extra_body": {"top_k": -1},
    }  # fmt: skip
    assert chat(client, **neutral).choices == chat(client).choices
