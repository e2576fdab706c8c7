import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatRequest, Reason
from afterbase.rollout.endpoint.budget import Budget, Limits, prompt_bound, prompt_estimate
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.endpoint.request_cache import RequestCache
from asking import failures
from misbehaving import answering, completion, reply

ASKED = {"messages": [{"role": "user", "content": "abcd"}], "max_tokens": 10}
MOST = 4 + 16 + 10  # bytes of the prompt, its template, the answer


def answered(prompt: int, answer: int) -> dict:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": answer}}


def test_what_is_set_aside_is_settled_by_the_servers_count():
    budget = Budget(Limits(tokens=MOST))
    held = budget.hold(ASKED)
    assert held is not None
    assert budget.spent.tokens == MOST
    assert budget.hold(ASKED) is None, "the first one may still need it all"
    budget.settle(held, answered(3, 2))
    assert (budget.spent.requests, budget.spent.tokens) == (1, 5)


def test_a_plain_prompt_is_counted_too():
    assert Budget(Limits()).hold({"prompt": "abcd", "max_tokens": 10}) == (4 + 16, 10)


def test_an_attempt_that_the_server_refused_is_free_and_one_of_unknown_cost_is_not():
    budget = Budget(Limits(tokens=3 * MOST))
    for answer, spent in ((None, 0), ({"usage": None}, MOST), ({"usage": {"prompt_tokens": 1}}, MOST + 1 + 10)):
        held = budget.hold(ASKED)
        assert held is not None
        budget.settle(held, answer)
        assert budget.spent.tokens == spent


def test_money_is_what_tokens_cost():
    budget = Budget(Limits(money=1.0, prompt_price=1e5, answer_price=2e5))  # 0.1 and 0.2 a token
    assert budget.hold(ASKED) is None
    assert (budget.spent.requests, budget.spent.tokens) == (0, 0)
    assert budget.hold({"messages": [], "max_tokens": 5}) == (0, 5)
    assert budget.spent.money == pytest.approx(1.0)


def test_a_limit_on_money_without_prices_is_refused():
    with pytest.raises(ValidationError, match="needs prices"):
        Limits(money=3.0)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=30),
    st.integers(1, 12),
    st.integers(1, 400),
)
def test_no_limit_is_ever_passed(requests, most_requests, most_tokens):
    budget = Budget(Limits(requests=most_requests, tokens=most_tokens))
    for length, answer, settled in requests:
        held = budget.hold({"messages": [{"role": "user", "content": "é" * length}], "max_tokens": answer})
        assert budget.spent.requests <= most_requests
        assert budget.spent.tokens <= most_tokens
        if held is not None and settled:
            budget.settle(held, answered(length, answer))


def config(url: str, **settings) -> EndpointConfig:
    return EndpointConfig(url=url, model="toy", max_concurrent=4, first_wait=0.0, **settings)


def ask(text: str) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": text}], temperature=1.0, max_tokens=8)


def test_an_endpoint_stops_where_the_budget_ends():
    with answering(lambda _: reply(200, completion("well"))) as server:
        endpoint = Endpoint(config(server.url), budget=Budget(Limits(requests=3)))
        results = endpoint.complete([ask(str(i)) for i in range(7)])
        assert len(server.requests) == 3
    unsent = failures(results)
    assert len(unsent) == 4
    assert {r.reason for r in unsent} == {Reason.BUDGET}
    assert "3 requests, " in unsent[0].detail
    assert unsent[0].detail.endswith("limits: requests = 3")


def test_each_attempt_is_a_request_and_one_without_an_answer_costs_no_tokens():
    with answering(lambda _: reply(429, {"error": "slow down"})) as server:
        budget = Budget(Limits(requests=3))
        (result,) = Endpoint(config(server.url, retries=9), budget=budget).complete([ask("?")])
        assert len(server.requests) == 3
    assert [failure.reason for failure in failures([result])] == [Reason.BUDGET]
    assert budget.spent.tokens == 0


def test_what_is_in_the_cache_was_paid_for_and_costs_nothing_again(tmp_path: Path):
    cache = tmp_path / "cache.sqlite"
    with answering(lambda body: reply(200, completion(json.dumps(body["messages"])))) as server:
        asked = [ask(str(i)) for i in range(5)]
        first = Endpoint(config(server.url), cache=cache, budget=Budget(Limits(requests=3))).complete(asked)
        again = Budget(Limits(requests=5))
        second = Endpoint(config(server.url), cache=cache, budget=again).complete(asked)
        assert len(server.requests) == 5
    assert len(failures(first)) == 2
    assert not failures(second)
    assert again.spent.requests == 5
    assert again.spent.tokens == 5 * 4


@given(text=st.text())
def test_a_bound_is_above_what_a_tokenizer_makes(toy_tokenizer, text):
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": text}]
    ids = toy_tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    texts = [message["content"] for message in messages]
    assert len(ids) <= prompt_bound(texts)
    assert prompt_estimate(texts) <= prompt_bound(texts)


def test_a_request_without_a_limit_is_refused_where_its_cost_is_limited():
    with pytest.raises(UserError, match="has to be bounded"):
        Budget(Limits(tokens=100)).hold({"messages": []})
    assert Budget(Limits(requests=1)).hold({"messages": []}) == (0, 0)


def test_what_broke_off_stays_at_its_most():
    budget = Budget(Limits(tokens=MOST))
    held = budget.hold(ASKED)
    assert held is not None
    budget.lose(held)
    assert (budget.under_way, budget.spent.tokens) == (0, MOST)
    assert budget.hold(ASKED) is None


def test_an_account_is_shared_and_known_after_it_is_closed(tmp_path: Path):
    one, other = (Budget(Limits(tokens=MOST + 5), account="p") for _ in range(2))
    with RequestCache(tmp_path / "c") as cache:
        with one.use(cache), other.use(cache):
            held = one.hold(ASKED)
            assert held is not None
            cache.put("k", {}, tokens=2, account="p", spent=one.settle(held, answered(4, 2)))
            assert one.spent.tokens == other.spent.tokens == 6
            assert other.hold(ASKED) is None
        assert one.spent.tokens == 6
        assert Budget(Limits(), account="q").spent.tokens == 0
