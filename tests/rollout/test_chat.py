"""What is sent for a chat request, and what is read from an answer."""

import pytest

from afterbase.rollout.chat import ChatRequest, UnreadableError, answer_of
from misbehaving import completion

MESSAGES = [{"role": "user", "content": "1+1?"}]


def test_only_what_was_asked_is_sent():
    request = ChatRequest(messages=MESSAGES, temperature=1, max_tokens=None)
    assert request.body("m") == {"model": "m", "messages": MESSAGES, "temperature": 1.0}
    body = ChatRequest(messages=MESSAGES, temperature=0.5, max_tokens=9, stop=("x",), top_logprobs=0).body("m")
    assert (body["max_tokens"], body["stop"], body["logprobs"], body["top_logprobs"]) == (9, ["x"], True, 0)


def test_equal_requests_are_sent_with_seeds_of_their_own():
    seeds = [
        ChatRequest(messages=MESSAGES, temperature=1, max_tokens=None, seed=seed, sample=sample).body("m")["seed"]
        for seed in (0, 1)
        for sample in range(50)
    ]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart(field):
    answer = answer_of(completion("2", **{field: "one and one"}))
    assert (answer.text, answer.reasoning, answer.tokens, answer.truncated) == ("2", "one and one", 3, False)


def test_an_answer_cut_within_its_reasoning_is_empty_and_truncated():
    body = completion(None, reasoning_content="one and")
    body["choices"][0]["finish_reason"] = "length"
    answer = answer_of(body)
    assert (answer.text, answer.truncated) == ("", True)


def test_log_probabilities_are_read_with_the_most_probable_of_equal_spellings():
    body = completion("2")
    top = [{"token": "2", "logprob": -0.5}, {"token": "�", "logprob": -1}, {"token": "�", "logprob": -2}]
    body["choices"][0]["logprobs"] = {"content": [{"token": "2", "logprob": -0.5, "top_logprobs": top}]}
    logps = answer_of(body).logps
    assert logps is not None
    [token] = logps
    assert (token.token, token.logp, token.top) == ("2", -0.5, {"2": -0.5, "�": -1.0})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"choices": []},
        {"choices": [{"message": None}]},
        {**completion("2"), "usage": None},
        {**completion("2"), "usage": {"completion_tokens": "3"}},
        completion(["2"]),  # type: ignore[arg-type]
        {"error": {"message": "overloaded"}},
    ],
    ids=str,
)
def test_anything_else_is_unreadable(body):
    with pytest.raises(UnreadableError):
        answer_of(body)
