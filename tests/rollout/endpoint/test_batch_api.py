"""Batches against a server that speaks their API: answers in order, each paid once, whatever breaks off in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatRequest, Reply
from afterbase.rollout.endpoint import batch_api
from afterbase.rollout.endpoint.budget import Budget, Limits
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.endpoint.request_cache import RequestCache
from batch_server import BatchServer
from loopback import served
from misbehaving import completion


def requests(count: int) -> list[ChatRequest]:
    return [
        ChatRequest(messages=[{"role": "user", "content": str(number)}], temperature=1.0, max_tokens=5)
        for number in range(count)
    ]


def echo(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, completion(f"answer {body['messages'][-1]['content']}")


def number(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"])


def endpoint(url: str, cache: Path, budget: Budget | None = None, **settings: Any) -> Endpoint:
    config = EndpointConfig(url=f"{url}/v1", model="m", batch=True, poll_seconds=0.0, retries=2, **settings)
    return Endpoint(config, cache=cache, budget=budget)


def texts(results: list[Reply]) -> list[str]:
    return [result.text if result.failure is None else str(result.failure.reason) for result in results]


def expected(count: int) -> list[str]:
    return [f"answer {n}" for n in range(count)]


def test_answers_come_in_order_and_are_kept(tmp_path):
    server, told = BatchServer(echo), []
    with served(server.app) as url:
        asked = [*requests(7), *requests(2)]
        results = endpoint(url, tmp_path / "c").complete(asked, on_finished=lambda i, _: told.append(i))
        calls = len(server.calls)
        again = endpoint(url, tmp_path / "c").complete(asked)
    assert texts(results) == texts(again) == [*expected(7), *expected(2)]
    assert sorted(told) == list(range(9))
    assert (len(server.paid), len(server.batches), len(server.calls)) == (7, 1, calls)
    with RequestCache(tmp_path / "c") as cache:
        assert cache.batches() == {}


def test_a_batch_and_a_single_request_are_known_by_the_same_key(tmp_path):
    server = BatchServer(echo)
    with served(server.app) as url:
        endpoint(url, tmp_path / "c").complete(requests(3))
    single = Endpoint(EndpointConfig(url="http://127.0.0.1:9/v1", model="m"), cache=tmp_path / "c")
    assert single.missing(requests(4)) == requests(4)[3:]


def test_many_requests_are_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_api, "_MOST_REQUESTS", 3)
    server = BatchServer(echo)
    with served(server.app) as url:
        assert texts(endpoint(url, tmp_path / "c").complete(requests(8))) == expected(8)
    assert [content.count(b"custom_id") for name, content in server.files.items() if name.startswith("file_")] == [
        3,
        3,
        2,
    ]
    monkeypatch.setattr(batch_api, "_MOST_BYTES", 400)
    with served(server.app) as url:
        assert texts(endpoint(url, tmp_path / "d").complete(requests(4))) == expected(4)
    assert len(server.batches) > 3 + 2


def test_a_request_that_fails_fails_alone(tmp_path):
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        faults = {1: (400, {"error": "no"}), 2: (500, {}), 3: (200, {"choices": []})}
        return faults.get(number(body)) or echo(body)

    with served(BatchServer(answer).app) as url:
        results = endpoint(url, tmp_path / "c").complete(requests(5))
    assert texts(results) == ["answer 0", "refused", "overloaded", "malformed", "answer 4"]


def test_what_expired_fails_and_is_sent_again_by_the_next_run(tmp_path):
    late = {2, 3}
    server = BatchServer(lambda body: None if number(body) in late else echo(body))
    with served(server.app) as url:
        results = endpoint(url, tmp_path / "c").complete(requests(5))
        assert texts(results) == ["answer 0", "answer 1", "timeout", "timeout", "answer 4"]
        late.clear()
        assert texts(endpoint(url, tmp_path / "c").complete(requests(5))) == expected(5)
    assert len(server.paid) == 5


class Killed(BaseException):
    """In place of SIGKILL: nothing of ours catches it."""


@pytest.mark.parametrize(
    "where",
    ["POST /files", "POST /batches", "GET /batches/batch_0", "GET /files/output_file_id_batch_0/content"],
)
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_a_run_that_is_killed_anywhere_pays_nothing_twice(tmp_path, monkeypatch, where, done):
    server, call = BatchServer(echo), batch_api.BatchCall._call

    def deadly(self: batch_api.BatchCall, method: str, path: str, **content: Any) -> Any:
        if f"{method} {path}" != where:
            return call(self, method, path, **content)
        if done:
            call(self, method, path, **content)
        raise Killed

    with served(server.app) as url:
        monkeypatch.setattr(batch_api.BatchCall, "_call", deadly)
        with pytest.raises(Killed):
            endpoint(url, tmp_path / "c").complete(requests(5))
        monkeypatch.setattr(batch_api.BatchCall, "_call", call)
        assert texts(endpoint(url, tmp_path / "c").complete(requests(6))) == expected(6)
    assert sorted(number(body) for body in server.paid) == list(range(6))


def test_a_run_that_is_killed_while_it_keeps_answers_counts_each_once(tmp_path, monkeypatch):
    server, put = BatchServer(echo), RequestCache.put
    budget = Budget(Limits(answer_price=1e6), account="p")

    def deadly(self: RequestCache, *arguments: Any, **settings: Any) -> Any:
        if len(self) == 3:
            raise Killed
        return put(self, *arguments, **settings)

    with served(server.app) as url:
        monkeypatch.setattr(RequestCache, "put", deadly)
        with pytest.raises(Killed):
            endpoint(url, tmp_path / "c", budget).complete(requests(5))
        monkeypatch.setattr(RequestCache, "put", put)
        assert texts(endpoint(url, tmp_path / "c", budget).complete(requests(5))) == expected(5)
    assert len(server.paid) == 5
    with RequestCache(tmp_path / "c") as cache:
        assert (cache.spent("p").requests, cache.spent("p").money) == (5, 15.0)


def test_a_batch_that_was_made_though_the_answer_was_lost_is_found(tmp_path):
    server = BatchServer(echo, page=1)
    server.lost = [("POST", "/batches")]
    with served(server.app) as url:
        endpoint(url, tmp_path / "other").complete(requests(2))  # one before it in the list
        server.lost = [("POST", "/batches")]
        assert texts(endpoint(url, tmp_path / "c").complete(requests(4))) == expected(4)
    assert len(server.paid) == 6


@pytest.mark.parametrize("status", [429, 500, 503])
def test_calls_are_tried_again(tmp_path, status):
    server = BatchServer(echo)
    paths = [("POST", "/files"), ("POST", "/batches"), ("GET", "/batches/batch_0")]
    server.faults = [(*path, status) for path in paths]
    with served(server.app) as url:
        assert texts(endpoint(url, tmp_path / "c").complete(requests(3))) == expected(3)
    assert server.faults == []
    assert len(server.paid) == 3


@pytest.mark.parametrize(("status", "rule"), [(400, "speaks the batch API"), (401, "accept the token"), (404, "path")])
def test_an_endpoint_without_batches_is_told(tmp_path, status, rule):
    server = BatchServer(echo)
    server.faults = [("POST", "/files", status)]
    with served(server.app) as url, pytest.raises(UserError, match=rule):
        endpoint(url, tmp_path / "c").complete(requests(3))


def test_a_batch_that_is_refused_as_a_whole_is_told(tmp_path):
    server = BatchServer(echo)
    server._end = lambda batch: {"status": "failed", "errors": {"data": [{"message": "no such model"}]}}  # type: ignore[method-assign]
    with served(server.app) as url, pytest.raises(UserError, match="takes the batches") as raised:
        endpoint(url, tmp_path / "c").complete(requests(3))
    assert "no such model" in raised.value.got


def test_batches_of_another_endpoint_stay_noted_and_those_that_are_gone_do_not(tmp_path):
    server = BatchServer(echo)
    with served(server.app) as url:
        with RequestCache(tmp_path / "c") as cache:
            cache.note_batch("elsewhere", "http://elsewhere/v1 name")
            cache.note_batch("gone", f"{url}/v1 name")
        assert texts(endpoint(url, tmp_path / "c").complete(requests(2))) == expected(2)
    with RequestCache(tmp_path / "c") as cache:
        assert list(cache.batches()) == ["elsewhere"]


def test_a_deadline_leaves_the_batch_to_the_next_run(tmp_path):
    server = BatchServer(echo, looks=10**9)
    with served(server.app) as url:
        results = endpoint(url, tmp_path / "c", deadline=1e-9).complete(requests(2))
        assert texts(results) == ["deadline", "deadline"]
        server._looks = 1
        assert texts(endpoint(url, tmp_path / "c").complete(requests(2))) == expected(2)
    assert len(server.batches) == 1


def test_a_batch_is_as_large_as_the_budget_allows(tmp_path):
    """Each could take 5 units, and takes 3: two fit at first, and then one more."""
    server = BatchServer(echo)
    budget = Budget(Limits(money=12.0, answer_price=1e6), account="p")
    with served(server.app) as url:
        asked: Callable[[], list[str]] = lambda: texts(endpoint(url, tmp_path / "c", budget).complete(requests(4)))  # noqa: E731
        assert asked() == ["answer 0", "answer 1", "budget", "budget"]
        assert asked() == ["answer 0", "answer 1", "answer 2", "budget"]
        assert asked() == ["answer 0", "answer 1", "answer 2", "budget"]
    assert len(server.paid) == 3


def test_batches_need_a_cache():
    config = EndpointConfig(url="http://127.0.0.1:9/v1", model="m", batch=True)
    with pytest.raises(UserError, match="need a request cache"):
        Endpoint(config).complete(requests(1))
