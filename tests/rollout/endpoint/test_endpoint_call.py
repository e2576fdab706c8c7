"""Attempts, pauses, deadlines and money of one call: what passes is tried again, what does not ends in time."""

import gzip
import json
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatRequest, Failure, Reason
from afterbase.rollout.endpoint.budget import Budget, Limits, Spent
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.endpoint.request_cache import RequestCache
from asking import SECONDS, config, echo, failures, first_then, requests, texts
from misbehaving import HANG, RESET, answering, completion, reply


@pytest.mark.parametrize(
    "bad",
    [
        reply(429, {"error": "slow down"}, headers=["Retry-After: 0"]),
        reply(429, {}, headers=["Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"]),
        reply(500, b"oops"),
        reply(503, {}),
        reply(200, b'{"choices": [{"mess'),
        reply(200, b"\xff\xfe"),
        reply(200, {"choices": []}),
        reply(200, completion("cut"), missing=10),
        RESET,
        b"",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["429", "429-date", "500", "503", "json", "bytes", "no-choice", "cut", "reset", "nothing", "no-http"],
)
def test_what_passes_is_tried_again(bad):
    with answering(first_then(bad)) as server:
        results = Endpoint(config(server.url)).complete(requests(6))
    assert texts(results) == [f"answer {number}" for number in range(6)]
    assert len(server.requests) == 12


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (reply(503, {}), Reason.OVERLOADED),
        (reply(200, b"nonsense"), Reason.MALFORMED),
        (RESET, Reason.CONNECTION),
        (reply(400, {"error": {"message": "too long"}}), Reason.REFUSED),
        (reply(403, {"error": {"message": "moderated"}}), Reason.REFUSED),
    ],
    ids=["503", "json", "reset", "400", "403"],
)
def test_one_that_goes_on_failing_fails_alone(bad, reason):
    with answering(lambda body: bad if body["messages"][-1]["content"] == "2" else echo(body)) as server:
        results = Endpoint(config(server.url, retries=2)).complete(requests(6))
    [failure] = failures([results.pop(2)])
    assert failure.reason is reason
    assert texts(results) == [f"answer {number}" for number in (0, 1, 3, 4, 5)]
    attempts = [body["messages"][-1]["content"] for body in server.requests].count("2")
    assert attempts == (1 if reason is Reason.REFUSED else 3)


def answered_by(content: Any, **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return reply(200, {"choices": [choice], "usage": {"completion_tokens": 3}})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (answered_by(None, tool_calls=[{"id": "1"}]), Reason.REFUSED),
        (answered_by([{"type": "image_url"}]), Reason.MALFORMED),
        (answered_by(5), Reason.MALFORMED),
        (reply(200, '{"choices": [{"message": {"content": "é"}}]}'.encode("latin-1")), Reason.MALFORMED),
        (reply(200, {"error": {"message": "no", "code": 400}}), Reason.REFUSED),
        (reply(200, {"error": {"message": "no", "type": "invalid_request_error"}}), Reason.REFUSED),
        (reply(200, b"x", headers=["Content-Encoding: br"]), Reason.MALFORMED),
        (reply(200, gzip.compress(bytes(80 << 20)), headers=["Content-Encoding: gzip"]), Reason.MALFORMED),
        (reply(200, zlib.compress(bytes(80 << 20)), headers=["Content-Encoding: deflate"]), Reason.MALFORMED),
    ],
    ids=["calls", "image", "number", "latin-1", "code", "type", "br", "gzip", "zlib"],
)
def test_what_would_come_so_again_is_asked_once(bad, reason):
    with answering(lambda _: bad) as server:
        [failure] = failures(Endpoint(config(server.url, retries=3)).complete(requests(1)))
    assert failure.reason is reason
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "bad",
    [reply(200, {"error": {"message": "busy", "code": 429}}), reply(200, {"error": "busy"}), reply(200, b"[" * 9999)],
    ids=["429", "text", "nested"],
)
def test_an_error_that_passes_may_come_with_status_200(bad):
    with answering(first_then(bad)) as server:
        assert texts(Endpoint(config(server.url)).complete(requests(1))) == ["answer 0"]
    assert len(server.requests) == 2


def test_a_refusal_of_the_token_with_status_200_ends_the_call():
    refused = reply(200, {"error": {"message": "no", "code": 401}})
    with answering(lambda _: refused) as server, pytest.raises(UserError, match="accept the token"):
        Endpoint(config(server.url)).complete(requests(1))
    assert len(server.requests) == 1


def test_an_answer_without_a_text_is_kept_and_not_paid_again(tmp_path):
    with answering(lambda _: answered_by(None, tool_calls=[{"id": "1"}])) as server:
        first, again = (
            Endpoint(config(server.url), cache=tmp_path / "c.sqlite").complete(requests(1)) for _ in range(2)
        )
    assert first == again
    assert len(server.requests) == 1
    assert account(tmp_path / "c.sqlite", "").tokens == 3


def test_a_compressed_answer_is_read():
    def zipped(body: dict[str, Any]) -> bytes:
        return reply(200, gzip.compress(json.dumps(completion("4")).encode()), headers=["Content-Encoding: gzip"])

    with answering(zipped) as server:
        assert texts(Endpoint(config(server.url)).complete(requests(1))) == ["4"]
    assert "accept-encoding: gzip, deflate\n" in server.heads[0].lower()


def test_a_request_that_hangs_is_given_up_and_tried_again():
    with answering(first_then(HANG)) as server:
        results = Endpoint(config(server.url, request_timeout=0.2, retries=8)).complete(requests(1))
    assert texts(results) == ["answer 0"]
    with answering(lambda _: HANG) as server:
        [failure] = failures(Endpoint(config(server.url, request_timeout=0.05, retries=1)).complete(requests(1)))
    assert failure == Failure(reason=Reason.TIMEOUT, detail="no answer in 0.05 s")


def test_what_is_left_at_the_deadline_is_a_failure(tmp_path):
    path = tmp_path / "c.sqlite"
    with answering(echo) as server:
        Endpoint(config(server.url), cache=path).complete(requests(3))
    with answering(lambda _: HANG) as server:
        results = Endpoint(config(server.url, deadline=0.2), cache=path).complete(requests(30))
    assert texts(results[:3]) == ["answer 0", "answer 1", "answer 2"]
    assert failures(results) == [Failure(reason=Reason.DEADLINE, detail="after 0.2 s in all")] * 27


def test_a_long_retry_after_ends_at_the_deadline():
    with answering(lambda _: reply(429, {}, headers=["Retry-After: 3600"])) as server:
        results = Endpoint(config(server.url, deadline=0.5)).complete(requests(9))
    assert {failure.reason for failure in failures(results)} == {Reason.DEADLINE}
    assert len(server.requests) <= 4, "nobody asks again before it is time"


@pytest.mark.parametrize(
    ("status", "rule", "remedy"),
    [(401, "accept the token", "AFTERBASE_TEST_TOKEN"), (404, "know the model", "/models")],
)
def test_what_fails_all_stops_early_and_keeps_what_came(tmp_path, monkeypatch, status, rule, remedy):
    monkeypatch.setenv("AFTERBASE_TEST_TOKEN", "sesame")

    def answer(body: dict[str, Any]) -> bytes:
        return echo(body) if int(body["messages"][-1]["content"]) < 3 else reply(status, {"error": "no"})

    with answering(answer) as server:
        settings = config(server.url, token_variable="AFTERBASE_TEST_TOKEN", max_concurrent=1)
        with pytest.raises(UserError, match=rule) as raised:
            Endpoint(settings, cache=tmp_path / "c.sqlite").complete(requests(500))
    assert remedy in raised.value.remedy
    assert len(server.requests) == 4
    assert all("authorization: bearer sesame" in head.lower() for head in server.heads)
    with RequestCache(tmp_path / "c.sqlite") as cache:
        assert len(cache) == 3


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (RESET, "connection"),
        (reply(200, b"<!doctype html><title>Log in</title>", headers=["Content-Type: text/html"]), "Log in"),
        (reply(400, {"error": {"message": "no such parameter"}}), "no such parameter"),
        (reply(429, {}, headers=["Retry-After: 86400"]), "86400 s"),
    ],
    ids=["down", "html", "400", "quota"],
)
def test_the_rest_is_given_up_where_nothing_comes_of_many(bad, said):
    with answering(lambda _: bad) as server:
        results = Endpoint(config(server.url, retries=1, max_concurrent=4)).complete(requests(2000))
    failed = failures(results)
    assert len(failed) == 2000
    assert failed[-1].reason is Reason.ABANDONED
    assert said in failed[-1].detail
    assert len(server.requests) <= 2 * (32 + 4)


def test_refusals_of_some_give_up_nothing():
    def answer(body: dict[str, Any]) -> bytes:
        return reply(400, {}) if 1 <= int(body["messages"][-1]["content"]) < 50 else echo(body)

    with answering(answer) as server:
        results = Endpoint(config(server.url, max_concurrent=1)).complete(requests(60))
    assert len(failures(results)) == 49
    assert len(texts(results[50:])) == 10


def test_a_storm_of_429_ends_with_every_answer():
    """Nothing passes until twenty were turned away; what they are told to wait is nothing."""
    lock, turned_away = threading.Lock(), 0

    def answer(body: dict[str, Any]) -> bytes:
        nonlocal turned_away
        with lock:
            turned_away += 1
            return reply(429, {}, headers=["Retry-After: 0"]) if turned_away <= 20 else echo(body)

    with answering(answer) as server:
        results = Endpoint(config(server.url, retries=20, max_concurrent=8)).complete(requests(30))
    assert len(texts(results)) == 30
    assert len(server.requests) == 50


PRICE = 1e6  # a unit of money for each token of an answer


def account(path: Path, name: str = "p") -> Spent:
    with RequestCache(path) as cache:
        return cache.spent(name)


def budgeted(url: str, path: Path, most: float | None, **settings: Any) -> Endpoint:
    return Endpoint(
        config(url, **settings), cache=path, budget=Budget(Limits(money=most, answer_price=PRICE), account="p")
    )


@pytest.mark.parametrize("at_once", [1, 32])
def test_a_budget_stops_before_it_is_passed_and_goes_on_with_a_higher_one(tmp_path, at_once):
    """An answer takes 3 and could take 5: eleven fit into 35, and the twelfth could not."""
    path = tmp_path / "c.sqlite"
    with answering(echo) as server:
        results = budgeted(server.url, path, 35.0, max_concurrent=at_once).complete(requests(20))
        failed = failures(results)
        assert {failure.reason for failure in failed} == {Reason.BUDGET}
        assert len(server.requests) == 20 - len(failed) == 11
        assert account(path) == Spent(requests=11, tokens=44, money=33.0)
        assert "11 requests, 44 tokens and 33.00 of money spent" in failed[0].detail
        again = budgeted(server.url, path, 35.0).complete(requests(20))
        assert [type(result) for result in again] == [type(result) for result in results]
        assert len(server.requests) == 11
        assert len(texts(budgeted(server.url, path, 62.0).complete(requests(20)))) == 20
    assert len(server.requests) == 20
    assert account(path).money == 60.0


def test_another_recipe_pays_for_itself(tmp_path):
    path = tmp_path / "c.sqlite"
    with answering(echo) as server:
        budgeted(server.url, path, None).complete(requests(2))
        other = Endpoint(
            config(server.url), cache=path, budget=Budget(Limits(money=10.0, answer_price=PRICE), account="q")
        )
        assert len(texts(other.complete(requests(4)))) == 4
    assert (account(path).money, account(path, "q").money) == (6.0, 6.0)


def test_a_budget_bounds_prompts_as_well(tmp_path):
    long = [ChatRequest(messages=[{"role": "user", "content": "x" * 1000}], temperature=1.0, max_tokens=5)]
    with answering(echo) as server:
        budget = Budget(Limits(money=1000.0, prompt_price=1e6))
        [result] = Endpoint(config(server.url), cache=tmp_path / "c.sqlite", budget=budget).complete(long)
    assert len(failures([result])) == 1
    assert server.requests == []


def test_a_request_without_a_limit_has_no_bound_to_its_cost(tmp_path):
    endless = [ChatRequest(messages=[{"role": "user", "content": "x"}], temperature=1.0, max_tokens=None)]
    with answering(echo) as server, pytest.raises(UserError, match="has to be bounded"):
        budgeted(server.url, tmp_path / "c.sqlite", 9.0).complete(endless)


def test_concurrency_grows_up_to_the_most_and_not_beyond():
    """After 40 successes the limit has reached 6, and the answers from there on wait for six to be under way."""
    lock, running, peak = threading.Lock(), 0, 0
    six = threading.Event()

    def answer(body: dict[str, Any]) -> bytes:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
            if running == 6:
                six.set()
        if int(body["messages"][-1]["content"]) >= 40:
            six.wait(SECONDS)
        with lock:
            running -= 1
        return echo(body)

    with answering(answer) as server:
        texts(Endpoint(config(server.url, max_concurrent=6)).complete(requests(60)))
    assert peak == 6


def test_nobody_there_is_a_failure_of_each():
    results = Endpoint(config("http://127.0.0.1:9/v1", retries=1)).complete(requests(2))
    assert [failure.reason for failure in failures(results)] == [Reason.CONNECTION] * 2
