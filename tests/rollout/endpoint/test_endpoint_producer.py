"""An endpoint as producer, over the server of a toy model and over one that fails."""

import random
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.data.domains import DOMAINS
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.endpoint.endpoint_producer import EndpointProducer
from afterbase.rollout.producer import Producer
from afterbase.rollout.server.app import create_app
from loopback import served
from misbehaving import answering, completion, reply


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    rng = random.Random(0)
    return [DOMAINS["arithmetic"].problem(rng) for _ in range(3)]


def producer(url: str, **settings: Any) -> EndpointProducer:
    config = EndpointConfig(url=url, model="toy", first_wait=0.0, retries=1)
    return EndpointProducer(Endpoint(config, **settings), temperature=1.0, max_new_tokens=8)


def test_a_served_model_is_a_producer(toy_lm, problems, tmp_path):
    ended: list[int] = []
    with served(create_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=100_000)) as url:
        teacher: Producer = producer(f"{url}/v1", cache=tmp_path / "c.sqlite")
        groups = teacher.respond(problems, system="Think.", samples=4, seed=5, on_finished=lambda: ended.append(1))
        other = teacher.respond(problems, system=None, samples=4, seed=5)
        without_cache = producer(f"{url}/v1").respond(problems, system="Think.", samples=4, seed=5)
    again = teacher.respond(problems, system="Think.", samples=4, seed=5)  # the server is gone
    assert groups == again == without_cache != other
    assert [len(group) for group in groups] == [4, 4, 4]
    assert len(ended) == 12
    assert len({response.text for group in groups for response in group}) == 12, "samples of one problem differ"
    assert all(response.tokens == 8 for group in groups for response in group if response.truncated)


def test_lineage_names_model_and_sampling_not_the_address():
    assert producer("http://127.0.0.1:9/v1").describe() == {
        "name": "endpoint",
        "model": "toy",
        "temperature": 1.0,
        "max_new_tokens": 8,
    }


def test_what_has_no_answer_stops_the_producer_after_the_others_are_kept(problems, tmp_path):
    def answer(body: dict[str, Any]) -> bytes:
        failing = body["messages"][-1]["content"] == problems[1].prompt
        return reply(400, {"error": "no"}) if failing else reply(200, completion("2"))

    with answering(answer) as server:
        with pytest.raises(UserError, match="needs an answer") as raised:
            producer(server.url, cache=tmp_path / "c.sqlite").respond(problems, system=None, samples=2, seed=0)
        assert "2 of 6 without one (2 refused)" in raised.value.got
    with answering(lambda _: reply(200, completion("3"))) as server:
        teacher = producer(server.url, cache=tmp_path / "c.sqlite")
        groups = teacher.respond(problems, system=None, samples=2, seed=0)
    assert [[response.text for response in group] for group in groups] == [["2", "2"], ["3", "3"], ["2", "2"]]
    assert len(server.requests) == 2
