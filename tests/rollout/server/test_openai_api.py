"""What is taken as a request, and what is refused, as OpenAI's reference has it."""

from typing import Any

import pytest
from pydantic import ValidationError

from afterbase.rollout.server.incremental_text import TokenBytes
from afterbase.rollout.server.openai_api import (
    MAX_ITEMS,
    ChatRequest,
    CompletionRequest,
    chat_logprobs,
    completion_logprobs,
)
from afterbase.rollout.server.sample_request import Token
from tokenizer_kinds import byte_fallback, padded

USER = {"role": "user", "content": "x"}
NULLABLE = (
    "model", "temperature", "max_tokens", "max_completion_tokens", "n", "stop", "seed", "stream", "stream_options",
    "logprobs", "top_logprobs", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "tools", "tool_choice",
    "parallel_tool_calls", "functions", "function_call", "response_format", "user", "metadata", "store", "service_tier",
    "modalities", "audio", "prediction", "reasoning_effort", "verbosity", "web_search_options", "return_token_ids",
)  # fmt: skip


@pytest.mark.parametrize("name", NULLABLE)
def test_null_is_the_default(name):
    assert ChatRequest.model_validate({"messages": [USER], name: None}) == ChatRequest.model_validate(
        {"messages": [USER]}
    )


@pytest.mark.parametrize("name", ["echo", "suffix", "best_of", "logprobs", "n", "stop", "max_tokens"])
def test_null_is_the_default_of_completions_too(name):
    assert CompletionRequest.model_validate({"prompt": "x", name: None}).n == 1


@pytest.mark.parametrize(
    ("turn", "plain"),
    [
        ({"role": "developer", "content": "Be brief."}, {"role": "system", "content": "Be brief."}),
        ({"role": "user", "content": "", "name": "bob_1"}, {"role": "user", "content": "", "name": "bob_1"}),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": None},
            {"role": "user", "content": "ab"},
        ),
        (
            {
                "role": "assistant", "content": "4", "refusal": None, "annotations": [], "audio": None,
                "function_call": None, "tool_calls": None, "reasoning_content": "two and two",
            },
            {"role": "assistant", "content": "4"},
        ),
        ({"role": "assistant", "content": None, "tool_calls": []}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": None, "refusal": "No."}, {"role": "assistant", "content": "No."}),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "assistant", "content": "No."},
        ),
    ],
    ids=str,
)  # fmt: skip
def test_turns_are_taken_as_clients_send_them(turn, plain):
    [message] = ChatRequest.model_validate({"messages": [turn]}).messages
    assert message.plain() == plain


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": [{"type": "file", "file": {}}]},
        {"role": "user", "content": [{"type": "text", "text": None}]},
        {"role": "user", "content": ["x"]},
        {"role": "user", "content": "x", "name": "<|end|>"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "f"}},
        {"role": "assistant", "content": "x", "audio": {"id": "1"}},
        {"role": "tool", "content": "x", "tool_call_id": "1"},
        {"content": "x"},
        "x",
    ],
    ids=str,
)
def test_turns_that_cannot_be_honoured_are_refused(turn):
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({"messages": [turn]})


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 1e-45}, {"temperature": 9e-5}, {"temperature": -0.1}, {"temperature": 2.1},
        {"temperature": True}, {"temperature": float("nan")}, {"top_p": True}, {"top_p": 0.5}, {"n": True},
        {"n": 1.0}, {"n": 129}, {"max_tokens": 0}, {"max_tokens": 10**4000}, {"seed": 2**63}, {"seed": 1.5},
        {"stop": ""}, {"stop": ["a", ""]}, {"stop": "x" * 1025}, {"stream": 1}, {"stream_options": {}},
        {"logprobs": 1}, {"logprobs": True, "top_logprobs": 21}, {"top_logprobs": 1}, {"logit_bias": {"1": 5}},
        {"tools": [{}]}, {"tool_choice": "required"}, {"response_format": {"type": "json_object"}},
        {"messages": [USER] * (MAX_ITEMS + 1)}, {"reasoning_effort": "low"}, {"temprature": 1},
    ],
    ids=lambda changed: str(changed)[:40],
)  # fmt: skip
def test_types_and_ranges_are_looked_at_before_anything_is_done(changed):
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({"messages": [USER], **changed})


@pytest.mark.parametrize(
    "prompt",
    [[], "", [True], [1.0], [1, "a"], ["a", 1], [[1], ["a"]], [[1], "a"], [None], {}, [{}], [[1]] * (MAX_ITEMS + 1)],
    ids=lambda prompt: str(prompt)[:20],
)
def test_a_prompt_is_of_one_kind(prompt):
    with pytest.raises(ValidationError):
        CompletionRequest.model_validate({"prompt": prompt})


def token(token_id: int, *top: int) -> Token:
    return Token(id=token_id, logp=-0.5, top_logprobs=tuple((i, -1.0) for i in top))


def test_ids_beyond_the_tokenizer_are_entries_without_text():
    tokenizer = padded()
    beyond = len(tokenizer) + 5
    [entry] = chat_logprobs(TokenBytes(tokenizer), [token(beyond, beyond, beyond + 1)])["content"]
    assert (entry["token"], entry["bytes"]) == ("", [])
    assert [(top["token"], top["bytes"]) for top in entry["top_logprobs"]] == [("", [])] * 2
    assert completion_logprobs(TokenBytes(tokenizer), [token(beyond, beyond)], [0])["tokens"] == [""]


def test_entries_have_true_bytes_and_leading_spaces():
    tokenizer = byte_fallback()
    ids: Any = tokenizer.convert_tokens_to_ids(["<0x0A>", "▁the", "<0xE4>", "<0xBD>"])
    content = chat_logprobs(TokenBytes(tokenizer), [token(i) for i in ids])["content"]
    assert [entry["bytes"] for entry in content] == [[10], [32, 116, 104, 101], [0xE4], [0xBD]]
    assert [entry["token"] for entry in content] == ["\n", " the", "\ufffd", "\ufffd"]


def test_one_of_many_unknown_fields_is_told():
    many = {f"x{i}": i for i in range(1000)}
    turn = {"role": "user", "content": "a"}
    for body in ({**many}, {"messages": [{**turn, **many}]}, {"stream": True, "stream_options": many}):
        with pytest.raises(ValidationError) as raised:
            ChatRequest.model_validate({"messages": [turn], **body})
        assert [error["type"] for error in raised.value.errors()] == ["extra_forbidden"]
        assert raised.value.errors()[0]["loc"][-1] == "x0"
