"""What a request is known by, and what a reply says of itself."""

from afterbase.rollout.chat_model import ChatRequest, Reply

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


def test_the_answer_of_a_reply_is_its_text_without_the_thought():
    assert [Reply(text=text).answer for text in ("2", "<think>hm</think>2", "<think>hm")] == ["2", "2", None]
