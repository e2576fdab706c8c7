"""Problems as requests to a model here, to a served one, and to one that fails."""

import random
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem
from afterbase.data.domains import DOMAINS
from afterbase.rollout.chat_model import ChatModel, ChatRequest, Reply
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.engine_model import EngineModel
from afterbase.rollout.problem_replies import judged_replies, problem_requests, replies_to
from afterbase.rollout.server.app import create_app
from loopback import served
from misbehaving import answering, completion, reply


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    rng = random.Random(0)
    return [DOMAINS["arithmetic"].problem(rng) for _ in range(3)]


def requests(problems: list[Problem], **changed: Any) -> list[ChatRequest]:
    return problem_requests(problems, **{"samples": 2, "temperature": 1.0, "max_new_tokens": 8, "seed": 0, **changed})


def endpoint(url: str, **settings: Any) -> Endpoint:
    return Endpoint(EndpointConfig(url=url, model="toy", first_wait=0.0, retries=1), **settings)


def test_the_same_seed_gives_the_same_text_and_another_seed_another(toy_lm, problems):
    model = EngineModel(toy_lm, name="key")
    first, again, other = (replies_to(model, requests(problems, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_temperature_0_is_greedy(toy_lm, problems):
    [group] = replies_to(EngineModel(toy_lm, name="key"), requests(problems[:1], temperature=0.0, samples=3))
    assert group[0] == group[1] == group[2]


def test_a_served_model_is_asked_as_one_that_is_here(toy_lm, problems, tmp_path):
    ended: list[int] = []
    asked, plain = (requests(problems, system=system, samples=4) for system in ("Think.", None))
    with served(create_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=100_000)) as url:
        teacher: ChatModel = endpoint(f"{url}/v1", cache=tmp_path / "c.sqlite")
        groups = replies_to(teacher, asked, on_finished=lambda: ended.append(1))
        other = replies_to(teacher, plain)
        without_cache = replies_to(endpoint(f"{url}/v1"), asked)
    again = replies_to(teacher, asked)  # the server is gone
    assert groups == again == without_cache != other
    here = replies_to(EngineModel(toy_lm, name="key"), asked, on_finished=lambda: ended.append(1))
    assert [len(group) for group in groups] == [len(group) for group in here] == [4, 4, 4]
    assert len(ended) == 24
    assert len({response.text for group in groups for response in group}) == 12, "samples of one problem differ"
    assert all(response.tokens == 8 for group in groups for response in group if response.truncated)


def test_what_has_no_answer_ends_the_run_after_the_others_are_kept(problems, tmp_path):
    def answer(body: dict[str, Any]) -> bytes:
        failing = body["messages"][-1]["content"] == problems[1].prompt
        return reply(400, {"error": "no"}) if failing else reply(200, completion("2"))

    with answering(answer) as server:
        with pytest.raises(UserError, match="needs an answer") as raised:
            replies_to(endpoint(server.url, cache=tmp_path / "c.sqlite"), requests(problems))
        assert "2 of 6 without one (2 refused)" in raised.value.got
        groups = replies_to(endpoint(server.url, cache=tmp_path / "c.sqlite"), requests(problems), most_failed=0.4)
        assert [[r.failure is None for r in group] for group in groups] == [[True] * 2, [False] * 2, [True] * 2]
    with answering(lambda _: reply(200, completion("3"))) as server:
        groups = replies_to(endpoint(server.url, cache=tmp_path / "c.sqlite"), requests(problems))
    assert [[response.text for response in group] for group in groups] == [["2", "2"], ["3", "3"], ["2", "2"]]
    assert len(server.requests) == 2


def test_lineage_names_a_served_model_and_not_its_address():
    assert endpoint("http://127.0.0.1:9/v1").describe() == {"name": "endpoint", "model": "toy"}


def test_a_reply_that_was_cut_off_is_judged_as_one():
    spec = {"answer": "4", "answer_by": ["last_number"]}
    problem = Problem(domain="toy", prompt="2+2?", gold=None, verifier="maths", spec=spec)
    whole, cut = Reply(text="so 4", tokens=2), Reply(text="so 4", tokens=2, finish="length")
    assert [v.reason for v in judged_replies([problem, problem], [[whole, cut], [cut]])] == [
        "match", "cut_off", "cut_off"
    ]  # fmt: skip
