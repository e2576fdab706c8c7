"""Judges as artifacts: a checkpoint's, an endpoint's, each with its principles."""

import json

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.core.store import Store
from afterbase.model.load import save
from afterbase.reward.build_judge import JudgeConfig, load_judge, make_judge
from afterbase.rollout.endpoint.budget import Limits
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig
from misbehaving import answering, completion, reply

OPEN = Problem(domain="toy", prompt="Say hello.", gold=None, verifier="rubric", spec={})


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_a_models_own_checkpoint_judges(store, toy_lm):
    model = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    config = JudgeConfig(votes=2, max_new_tokens=8)
    made = make_judge(store, "judge", config, model)
    assert make_judge(store, "judge", config, model).key == made.key
    reward = load_judge(made, config, seed=3)
    assert reward.principles.startswith("- Do what the question asks")
    ((value, verdict),) = reward.judge([(OPEN, "Hello.")])
    assert value is None
    assert verdict is not None
    assert verdict.status is Status.FAILED
    assert (model.payload / "config.json").read_bytes() == (made.payload / "config.json").read_bytes()


def test_other_principles_are_another_judge(store, tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("Be kind.\n")
    endpoint = EndpointConfig(url="http://127.0.0.1:9/v1", model="toy")
    shipped = make_judge(store, "judge", JudgeConfig(endpoint=endpoint), None)
    own = make_judge(store, "judge", JudgeConfig(endpoint=endpoint, principles=str(path)), None)
    elsewhere = endpoint.model_copy(update={"url": "http://127.0.0.1:10/v1"})
    moved = make_judge(store, "judge", JudgeConfig(endpoint=elsewhere, budget=Limits(requests=3)), None)
    assert shipped.key == moved.key != own.key
    assert json.loads((own.payload / "judge.json").read_text())["principles"] == "- Be kind."
    with pytest.raises(UserError, match="text file"):
        make_judge(store, "judge", JudgeConfig(endpoint=endpoint, principles="nowhere.txt"), None)


def test_an_endpoint_judges_within_its_budget_and_is_asked_once(store):
    def answer(body):
        mark = body["messages"][-1]["content"].splitlines()[-1].split("`")[1].split()[1].rstrip(":")
        return reply(200, completion(f"Verdict {mark}: 10"))

    with answering(answer) as server:
        config = JudgeConfig(votes=2, endpoint=EndpointConfig(url=server.url, model="toy"), budget=Limits(requests=4))
        made = make_judge(store, "judge", config, None)
        for _ in range(2):
            assert load_judge(made, config, seed=0).judge([(OPEN, "a"), (OPEN, "b")]) == [(1.0, None)] * 2
        assert len(server.requests) == 4
        with pytest.raises(UserError, match="within its budget"):
            load_judge(made, config, seed=0).judge([(OPEN, "c")])
        assert len(server.requests) == 4
