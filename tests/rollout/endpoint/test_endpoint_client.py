"""The client against servers that fail in every way: no request is lost, and none fails the others."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatRequest, Reply
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.endpoint.request_cache import RequestCache
from asking import SECONDS, config, echo, requests, texts
from misbehaving import RESET, answering, reply


def test_results_are_in_order_and_told_as_they_come():
    told: dict[int, Reply] = {}
    with answering(echo) as server:
        results = Endpoint(config(server.url)).complete(requests(40), on_finished=told.__setitem__)
    assert texts(results) == [f"answer {number}" for number in range(40)]
    assert [told[index] for index in range(40)] == results
    assert len(server.requests) == 40


def test_a_second_run_sends_only_what_is_missing(tmp_path):
    path = tmp_path / "c.sqlite"
    with answering(lambda body: reply(400, {}) if body["messages"][-1]["content"] == "2" else echo(body)) as server:
        first = Endpoint(config(server.url), cache=path).complete(requests(5))
    with answering(echo) as server:
        told: list[int] = []
        second = Endpoint(config(server.url), cache=path).complete(requests(7), on_finished=lambda i, _: told.append(i))
    assert sorted(body["messages"][-1]["content"] for body in server.requests) == ["2", "5", "6"], (
        "failures are not kept"
    )
    assert texts(second) == [f"answer {number}" for number in range(7)]
    assert sorted(told) == list(range(7))
    assert (second[:2], second[3:5]) == (first[:2], first[3:5])


def test_equal_requests_are_kept_each_for_itself(tmp_path):
    [one] = requests(1)
    duplicates = [ChatRequest(messages=one.messages, temperature=1.0, max_tokens=5, sample=i) for i in range(4)]
    for expected in (4, 0):
        with answering(echo) as server:
            Endpoint(config(server.url), cache=tmp_path / "c.sqlite").complete(duplicates)
        assert len(server.requests) == expected


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    """The server kills its client with the ninth request, which is the only one under way."""
    program = """
import sys
from pathlib import Path
from afterbase.rollout.chat_model import ChatRequest
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
endpoint = Endpoint(EndpointConfig(url=sys.argv[1], model="m", max_concurrent=1), cache=Path(sys.argv[2]))
endpoint.complete([
    ChatRequest(messages=[{"role": "user", "content": str(number)}], temperature=1.0, max_tokens=5)
    for number in range(20)
])
"""
    path, started = tmp_path / "c.sqlite", threading.Event()
    client: list[subprocess.Popen[bytes]] = []

    def answer(body: dict[str, Any]) -> bytes:
        started.wait()
        if body["messages"][-1]["content"] != "8":
            return echo(body)
        client[0].send_signal(signal.SIGKILL)
        return RESET

    with answering(answer) as server:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        client.append(subprocess.Popen([sys.executable, "-c", program, server.url, str(path)], env=environment))
        started.set()
        assert client[0].wait() == -signal.SIGKILL
    with answering(echo) as server:
        results = Endpoint(config(server.url), cache=path).complete(requests(20))
    assert texts(results) == [f"answer {number}" for number in range(20)]
    assert sorted(int(body["messages"][-1]["content"]) for body in server.requests) == list(range(8, 20))


def test_equal_requests_of_one_place_are_sent_once(tmp_path):
    told: list[int] = []
    with answering(echo) as server:
        endpoint = Endpoint(config(server.url), cache=tmp_path / "c.sqlite")
        results = endpoint.complete([*requests(3), *requests(3)], on_finished=lambda i, _: told.append(i))
    assert texts(results) == ["answer 0", "answer 1", "answer 2"] * 2
    assert sorted(told) == list(range(6))
    assert len(server.requests) == 3


def test_two_runs_on_one_cache_pay_once(tmp_path):
    """Requests are answered two by two, so that both runs are at work all the time."""
    together = threading.Barrier(2)

    def answer(body: dict[str, Any]) -> bytes:
        together.wait(SECONDS)
        return echo(body)

    results: dict[str, list[Reply]] = {}

    def run(name: str, url: str) -> None:
        endpoint = Endpoint(config(url, max_concurrent=1), cache=tmp_path / "c.sqlite")
        results[name] = endpoint.complete(requests(20))

    with answering(answer) as server:
        runs = [threading.Thread(target=run, args=(name, server.url)) for name in "ab"]
        for thread in runs:
            thread.start()
        for thread in runs:
            thread.join()
    assert texts(results["a"]) == texts(results["b"]) == [f"answer {number}" for number in range(20)]
    assert len(server.requests) == 20


def test_a_full_disk_keeps_what_was_kept(tmp_path, monkeypatch):
    path, put = tmp_path / "c.sqlite", RequestCache.put

    def full(self: RequestCache, *arguments: Any, **settings: Any) -> Any:
        if len(self) >= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(self, *arguments, **settings)

    with answering(echo) as server:
        monkeypatch.setattr(RequestCache, "put", full)
        with pytest.raises(OSError, match="space"):
            Endpoint(config(server.url, max_concurrent=1), cache=path).complete(requests(9))
        monkeypatch.setattr(RequestCache, "put", put)
        assert len(server.requests) == 4
        assert len(texts(Endpoint(config(server.url), cache=path).complete(requests(9)))) == 9
    assert len(server.requests) == 10


def test_what_is_missing_is_what_would_be_sent(tmp_path):
    path = tmp_path / "c.sqlite"
    with answering(echo) as server:
        endpoint = Endpoint(config(server.url), cache=path)
        assert endpoint.missing([*requests(3), *requests(3)]) == requests(3)
        assert not path.exists()
        endpoint.complete(requests(2))
        assert endpoint.missing(requests(3)) == requests(3)[2:]


def models(*names: str) -> bytes:
    return reply(200, {"data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("answer", "rule"),
    [(models("a", "b"), "know the model"), (reply(401, {}), "accept the token"), (RESET, "before a run")],
)
def test_an_endpoint_that_cannot_help_is_told_early(answer, rule):
    with answering(lambda _: answer) as server, pytest.raises(UserError, match=rule):
        Endpoint(config(server.url)).refuse_absent()


@pytest.mark.parametrize("answer", [models("a", "m"), reply(404, b"<html>"), reply(200, {"data": 3})])
def test_an_endpoint_that_may_help_passes(answer):
    with answering(lambda _: answer) as server:
        Endpoint(config(server.url)).refuse_absent()
    assert server.heads[0].startswith("GET /v1/models")


def test_it_works_inside_a_running_loop():
    async def notebook(url: str) -> list[Reply]:
        return Endpoint(config(url)).complete(requests(2))

    with answering(echo) as server:
        assert texts(asyncio.run(notebook(server.url))) == ["answer 0", "answer 1"]


def test_an_error_of_the_caller_is_the_callers():
    def stop(index: int, result: Reply) -> None:
        raise KeyError(index)

    with answering(echo) as server, pytest.raises(KeyError):
        Endpoint(config(server.url)).complete(requests(3), on_finished=stop)


def test_no_requests_give_no_results():
    assert Endpoint(config("http://127.0.0.1:9/v1")).complete([]) == []
