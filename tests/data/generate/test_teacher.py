"""Teachers of all kinds behind one interface: what they are asked, what they cost, what becomes of what they write."""

import json
from pathlib import Path
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Drop, Problem, Sample, read_samples
from afterbase.core.store import Cost, Store
from afterbase.data.generate.draft import draft
from afterbase.data.generate.teacher import Kind, Price, Teacher
from afterbase.data.problems.problems import Problems, make_problems, train_problems
from afterbase.data.system_prompts import system_prompt
from afterbase.model.load import save
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig
from afterbase.rollout.endpoint.request_cache import RequestCache
from misbehaving import answering, completion, reply

COUNT = 6


def teacher(url: str = "http://127.0.0.1:9/v1", **changed: Any) -> Teacher:
    endpoint = EndpointConfig(url=url, model="m", first_wait=0.0, retries=1)
    return Teacher(**{"endpoint": endpoint, "temperature": 1.0, "max_new_tokens": 50, **changed})


def drafted(
    root: Path, config: Teacher, *, account: str = "p", kinds: Any = ("original", "reflective")
) -> list[Sample]:
    store = Store(root)
    problems = make_problems(store, "arithmetic", Problems(train=COUNT, test=1), seed=0)
    made = draft(store, "arithmetic", problems, list(kinds), seed=0, teacher=config, account=account)
    return read_samples(made.payload / "samples.parquet")


def box(body: dict[str, Any]) -> str:
    """The right answer to a prompt of the domain."""
    return GOLDS[body["messages"][-1]["content"]]


@pytest.fixture(autouse=True, scope="module")
def _golds(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("golds"))
    problems = train_problems(make_problems(store, "arithmetic", Problems(train=COUNT, test=1), seed=0))
    GOLDS.update({problem.prompt: str(problem.gold) for problem in problems})


GOLDS: dict[str, str] = {}


def test_both_kinds_come_from_the_endpoint_the_reflective_one_under_the_system_prompt(tmp_path):
    with answering(lambda body: reply(200, completion(box(body), reasoning_content="Hmm."))) as server:
        samples = drafted(tmp_path, teacher(server.url, system="verify"))
    assert [s.kind for s in samples] == ["original"] * COUNT + ["reflective"] * COUNT
    roles = {tuple(m["role"] for m in body["messages"]) for body in server.requests}
    assert roles == {("user",), ("system", "user")}
    for sample in samples:
        assert sample.dropped is None
        assert sample.response.startswith("<think>\nHmm.\n</think>\n\n\\boxed{")
        assert sample.producer == {"name": "endpoint", "model": "m", "temperature": 1.0, "max_new_tokens": 50}
        head = [m["content"] for m in sample.messages if m["role"] == "system"]
        assert head == ([system_prompt("verify")] if sample.kind == "reflective" else [])


def test_what_has_faults_is_dropped_with_the_rule(tmp_path):
    cut = completion("<think>and so on")
    cut["choices"][0]["finish_reason"] = "length"
    answers = [
        reply(200, completion("I think <think>")),
        reply(200, completion("")),
        reply(200, cut),
        reply(400, {"error": "moderated"}),
        reply(200, completion("<think>\\boxed{1}</think>")),
    ]
    order = {prompt: index for index, prompt in enumerate(GOLDS)}

    def answer(body: dict[str, Any]) -> bytes:
        index = order[body["messages"][-1]["content"]]
        return answers[index] if index < len(answers) else reply(200, completion(box(body)))

    with answering(answer) as server:
        samples = drafted(tmp_path, teacher(server.url, most_failed=0.2), kinds=["reflective"])
    assert [s.dropped for s in samples] == [
        Drop(stage="draft", rule="wrong: no_box", score=0.0),
        Drop(stage="draft", rule="empty"),
        Drop(stage="draft", rule="truncated", score=3),
        Drop(stage="draft", rule="no answer: refused"),
        Drop(stage="draft", rule="empty"),
        None,
    ]


def test_more_failures_than_may_be_stop_the_stage_and_the_rest_is_kept(tmp_path):
    first = next(iter(GOLDS))

    def answer(body: dict[str, Any]) -> bytes:
        right = reply(200, completion(box(body)))
        return reply(400, {"error": "no"}) if body["messages"][-1]["content"] == first else right

    with answering(answer) as server, pytest.raises(UserError, match=r"a share of 0\.01") as raised:
        drafted(tmp_path, teacher(server.url))
    assert "1 of 6 without one (1 refused)" in raised.value.got
    assert "`most_failed`" in raised.value.remedy
    with RequestCache(tmp_path / "requests.sqlite") as cache:
        assert len(cache) == COUNT - 1


def test_a_teacher_that_is_never_right_is_told_with_the_reasons(tmp_path):
    answers = {prompt: "\\boxed{123456}" if at else "so?" for at, prompt in enumerate(GOLDS)}
    with (
        answering(lambda body: reply(200, completion(answers[body["messages"][-1]["content"]]))) as server,
        pytest.raises(UserError, match="have to be right") as raised,
    ):
        drafted(tmp_path, teacher(server.url))
    assert raised.value.got == "12 drafts, all dropped: wrong: mismatch (10), wrong: no_box (2)"


def test_several_drafts_of_a_problem_are_told_by_their_index(tmp_path):
    with answering(lambda body: reply(200, completion(box(body)))) as server:
        samples = drafted(tmp_path, teacher(server.url, samples=3, originals="gold"))
    assert len(server.requests) == 3 * COUNT
    assert [s.producer for s in samples[:COUNT]] == [{"name": "gold"}] * COUNT
    assert [s.response for s in samples[:COUNT]] == list(GOLDS.values())
    assert [s.producer["sample_index"] for s in samples[COUNT:]] == [0, 1, 2] * COUNT
    assert len({s.id for s in samples}) == len(samples)


def test_a_budget_stops_the_stage_and_a_higher_one_goes_on(tmp_path):
    """An answer takes 3 units of money and could take 50, beside its prompt: only one fits at first."""
    price = Price(prompt=0.0, completion=1e6, currency="EUR")
    with answering(lambda body: reply(200, completion(box(body)))) as server:
        with pytest.raises(UserError, match="may stay without") as raised:
            drafted(tmp_path, teacher(server.url, price=price, max_cost=51.0))
        assert len(server.requests) == 1
        assert "raise `max_cost`" in raised.value.remedy
        assert "3.00 of money spent; limits: money = 51.0" in raised.value.got
        samples = drafted(tmp_path, teacher(server.url, price=price, max_cost=86.0))
        assert len(server.requests) == 2 * COUNT
    assert all(sample.dropped is None for sample in samples)


def test_a_model_is_a_teacher(toy_lm, tmp_path):
    save(toy_lm, tmp_path / "model")
    config = teacher(endpoint=None, model=str(tmp_path / "model"), max_new_tokens=4, originals="gold")
    samples = drafted(tmp_path / "store", config)
    assert [s.producer["name"] for s in samples] == ["gold"] * COUNT + ["model"] * COUNT
    assert config.cost(["original", "reflective"], COUNT, None, tmp_path, seed=0) == Cost(generated=24, verified=6)


def test_where_and_how_are_no_part_of_the_key_and_who_is(tmp_path):
    one = teacher().settings()
    elsewhere = teacher("http://10.0.0.1/v1", most_failed=0.5, cache="c", price=Price(prompt=1.0, completion=1.0))
    assert one == elsewhere.settings()
    assert one["system"] == system_prompt("reflect")
    other = [teacher(system="verify"), teacher(temperature=0.5), teacher(samples=2), teacher(originals="gold")]
    assert len({json.dumps(config.settings()) for config in [teacher(), *other]}) == 5


def test_a_plan_counts_what_is_missing(tmp_path):
    price = Price(prompt=100.0, completion=1e4)
    kinds: list[Kind] = ["original", "reflective"]
    problems = [Problem(domain="d", prompt="x" * 40, gold=None, verifier="maths", spec={})]
    config = teacher(price=price, samples=2)
    unknown = config.cost(kinds, 10, None, tmp_path / "c", seed=0)
    assert (unknown.requests, unknown.prompt_tokens, unknown.answer_tokens) == (40, 4000, 2000)
    assert unknown.money == pytest.approx(0.4 + 20.0)
    known = config.cost(kinds, 1, problems, tmp_path / "c", seed=0)
    prompts = 4 * (10 + 16) + 2 * (len(system_prompt("reflect")) // 4 + 16)
    assert (known.requests, known.prompt_tokens) == (4, prompts)
    with answering(lambda _: reply(200, completion("4"))) as server:
        asked = teacher(server.url, price=price, samples=2)
        requests = asked.requests(problems, system=None, seed=0)
        asked.model_asked(tmp_path / "c", account="p").complete(requests)
    assert config.cost(kinds, 1, problems, tmp_path / "c", seed=0).requests == 2


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"model": "tiny-v3"}, "an endpoint or a model"),
        ({"endpoint": None}, "an endpoint or a model"),
        ({"engine_url": "http://127.0.0.1:9"}, "`engine_url` is where"),
        ({"max_cost": 1.0}, "`max_cost` needs a price"),
        ({"endpoint": None, "model": "tiny-v3", "price": Price(prompt=1.0, completion=1.0)}, "a price belongs"),
    ],
)
def test_what_does_not_go_together_is_refused(changed, rule):
    with pytest.raises(ValueError, match=rule):
        teacher(**changed)
