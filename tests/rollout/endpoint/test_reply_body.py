"""What is read from an answer of a server."""

import pytest
from hypothesis import given

from afterbase.rollout.chat_model import Reason, Reply
from afterbase.rollout.endpoint.reply_body import UnreadableError, reply_of
from fuzz_requests import JSON
from misbehaving import completion


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart(field):
    answer = reply_of(completion("2", **{field: "one and one"}))
    assert (answer.text, answer.reasoning, answer.tokens, answer.truncated) == ("2", "one and one", 3, False)


def test_an_answer_cut_within_its_reasoning_is_empty_and_truncated():
    body = completion(None, reasoning_content="one and")
    body["choices"][0]["finish_reason"] = "length"
    answer = reply_of(body)
    assert (answer.text, answer.truncated) == ("", True)


def test_log_probabilities_are_read_with_the_most_probable_of_equal_spellings():
    body = completion("2")
    top = [{"token": "2", "logprob": -0.5}, {"token": "�", "logprob": -1}, {"token": "�", "logprob": -2}]
    body["choices"][0]["logprobs"] = {"content": [{"token": "2", "logprob": -0.5, "top_logprobs": top}]}
    logps = reply_of(body).logps
    assert logps is not None
    [token] = logps
    assert (token.token, token.logp, token.top) == ("2", -0.5, {"2": -0.5, "�": -1.0})


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "two "}, {"type": "text", "text": "and two"}]},
    {"type": "text", "text": "It is "},
    {"type": "text", "text": "4."},
]


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": PARTS}, "It is 4.", "two and two"),
        ({"content": [{"type": "reasoning", "text": "hm"}, "4"]}, "4", "hm"),
        ({"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "output_text", "text": "4"}]}, "4", None),
        ({"content": "4", "reasoning": {"text": "hm"}}, "4", "hm"),
        ({"content": "4", "reasoning_content": [{"summary": "h"}, {"text": "m"}]}, "4", "hm"),
        ({"content": None, "reasoning_content": "two and two"}, "", "two and two"),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", None),
        ({"content": [{"type": "refusal", "refusal": "I cannot."}]}, "I cannot.", None),
        ({"content": "a\ud83d", "reasoning": "\udc00"}, "a\ufffd", "\ufffd"),
        ({"content": "4", "tool_calls": [{"id": "1"}]}, "4", None),
        ({}, "", None),
    ],
    ids=str,
)
def test_text_and_thought_are_read_from_parts(message, text, reasoning):
    body = completion(None)
    body["choices"][0]["message"] = {"role": "assistant", **message}
    answer = reply_of(body)
    assert answer.failure is None
    assert (answer.text, answer.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"completion_tokens": 5.0}, 5),
        ({"completion_tokens": None}, 2),
        ({"completion_tokens": True}, 2),
        ({"completion_tokens": -1}, 2),
        ({"completion_tokens": "3"}, 2),
        (None, 2),
        ([], 2),
    ],
    ids=str,
)
def test_tokens_that_a_server_does_not_count_are_estimated(usage, tokens):
    assert reply_of({**completion("It is 4"), "usage": usage}).tokens == tokens
    assert reply_of({"choices": completion("It is 4")["choices"]}).tokens == 2


@pytest.mark.parametrize(
    ("finish", "truncated"),
    [("length", True), ("max_tokens", True), ("MAX_TOKENS", True), ("stop", False), (None, False), (7, False)],
)
def test_an_end_may_be_spelt_in_several_ways(finish, truncated):
    body = completion("4")
    body["choices"][0]["finish_reason"] = finish
    assert reply_of(body).truncated == truncated
    del body["choices"][0]["finish_reason"]
    assert reply_of(body).finish == "unknown"


@pytest.mark.parametrize(
    ("message", "finish", "said"),
    [
        ({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls", "tool calls"),
        ({"content": "", "function_call": {"name": "f"}}, "function_call", "tool calls"),
        ({"content": ""}, "content_filter", "content filter"),
        ({"content": "half of"}, "content_filter", "content filter"),
    ],
)
def test_an_answer_without_a_text_is_refused(message, finish, said):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    outcome = reply_of({"choices": [choice], "usage": {"completion_tokens": 3}})
    assert outcome.failure is not None
    assert outcome.failure.reason is Reason.REFUSED
    assert said in outcome.failure.detail
    assert (outcome.text, outcome.tokens) == ("", 3), "what was paid counts"


@pytest.mark.parametrize(
    ("body", "worked"),
    [
        (None, False),
        ([], False),
        ({}, False),
        ({"choices": []}, False),
        ({"choices": {}}, False),
        ({"error": {"message": "overloaded"}}, False),
        ({"choices": [{"error": {"message": "overloaded"}, "message": {"content": ""}}]}, False),
        ({"choices": [None]}, False),
        ({"choices": [{"message": None}]}, True),
        ({"choices": [{"message": {"content": 5}}]}, True),
        ({"choices": [{"message": {"content": [{"type": "image_url"}]}}]}, True),
        ({"choices": [{"message": {"content": [{"type": "text"}]}}]}, True),
        ({"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": "x"}]}}]}, True),
    ],
    ids=str,
)
def test_anything_else_is_unreadable_and_it_is_told_whether_it_was_paid(body, worked):
    with pytest.raises(UnreadableError) as raised:
        reply_of(body)
    assert raised.value.worked == worked


@given(body=JSON, message=JSON)
def test_no_body_raises_anything_else(body, message):
    for sent in (body, {"choices": [body]}, {"choices": [{"message": message}]}, completion(message)):
        try:
            outcome = reply_of(sent)
        except UnreadableError:
            continue
        assert isinstance(outcome, Reply)
