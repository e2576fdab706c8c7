import random
from collections import Counter

import pytest

from afterbase.core.sample import Problem
from afterbase.core.store import Artifact, Store
from afterbase.data.domains import DOMAINS
from afterbase.data.problems import problems as of_problems
from afterbase.data.problems.problems import Problems, make_problems
from afterbase.eval.held_out import Evaluation, evaluate, judged_rows, read_answers, shown_of
from afterbase.eval.summarise import Row, summarise
from afterbase.model.load import save
from afterbase.rollout.chat_model import Reply
from afterbase.verify.check import NONE

CONFIG = Evaluation(problems=3, samples=2, temperature=1.0, max_new_tokens=6)


def answers(store: Store, toy_lm, domain: str, config: Evaluation = CONFIG, *, system_prompt: bool = False) -> Artifact:
    model = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    problems = make_problems(store, domain, Problems(train=1, test=5), seed=0)
    return evaluate(store, "toy", model, domain, problems, config, seed=0, system=system_prompt)


def rows_of(problem: Problem, *responses: Reply, model: str = "key") -> list[dict]:
    return judged_rows([problem], [responses], checkpoint="toy", model=model, decoding="sampled", system_prompt=False)


def response(text: str, *, truncated: bool = False) -> Reply:
    return Reply(text=text, tokens=7, finish="length" if truncated else "stop")


@pytest.fixture(scope="module")
def arithmetic() -> Problem:
    return DOMAINS["arithmetic"].problem(random.Random(0))


def test_every_problem_is_answered_greedily_once_and_sampled_as_often_as_asked(toy_lm, tmp_path):
    store = Store(tmp_path)
    rows = read_answers(answers(store, toy_lm, "arithmetic"))
    problems = make_problems(store, "arithmetic", Problems(train=1, test=5), seed=0)
    first_three = [p.id for p in of_problems.test_problems(problems)[:3]]
    assert Counter((r["problem_id"], r["decoding"]) for r in rows) == {
        (problem, decoding): n for problem in first_three for decoding, n in (("greedy", 1), ("sampled", 2))
    }
    assert len({r["id"] for r in rows}) == len(rows)
    assert {r["sample_index"] for r in rows if r["decoding"] == "sampled"} == {0, 1}


def test_without_a_number_every_held_out_problem_is_asked_and_planned(toy_lm, tmp_path):
    config = Evaluation(samples=0, max_new_tokens=4)
    store, planned = Store(tmp_path), Store(tmp_path, plan_only=True)
    model = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    for place in (planned, store):
        problems = make_problems(place, "arithmetic", Problems(train=1, test=5), seed=0)
        evaluate(place, "toy", model, "arithmetic", problems, config, seed=0)
        assert place.stages[-1].cost.verified == 5
    assert len(read_answers(store.stages[-1].artifact)) == 5


def test_rows_have_what_the_statistics_read(toy_lm, tmp_path):
    rows = read_answers(answers(Store(tmp_path), toy_lm, "logic"))
    for row in rows:
        for key, kind in Row.__annotations__.items():
            assert isinstance(row[key], kind), (key, row[key])
    greedy, sampled = summarise([Row(**{key: row[key] for key in Row.__annotations__}) for row in rows])
    assert (greedy["decoding"], greedy["n"], sampled["decoding"], sampled["n"]) == ("greedy", 3, "sampled", 3)


def test_the_same_rows_come_out_of_a_second_run(toy_lm, tmp_path):
    first, again = (answers(Store(tmp_path / name), toy_lm, "arithmetic") for name in "ab")
    assert read_answers(first) == read_answers(again)
    assert first.digest == again.digest


def test_with_the_system_prompt_rows_say_so_and_have_ids_of_their_own(toy_lm, tmp_path):
    store = Store(tmp_path)
    without, with_it = (read_answers(answers(store, toy_lm, "arithmetic", system_prompt=s)) for s in (False, True))
    assert {r["system_prompt"] for r in with_it} == {True}
    assert {r["system_prompt"] for r in without} == {False}
    assert not {r["id"] for r in without} & {r["id"] for r in with_it}
    assert store.stages[-1].name == "evaluate toy + prompt on arithmetic"


def test_without_samples_there_are_greedy_answers_only(toy_lm, tmp_path):
    config = CONFIG.model_copy(update={"samples": 0})
    rows = read_answers(answers(Store(tmp_path), toy_lm, "chat", config))
    assert [r["decoding"] for r in rows] == ["greedy"] * 3


def test_the_planned_cost_counts_every_answer(tmp_path):
    store = Store(tmp_path, plan_only=True)
    problems = make_problems(store, "logic", Problems(train=1, test=5), seed=0)
    evaluate(store, "toy", problems, "logic", problems, CONFIG, seed=0)
    cost = store.stages[-1].cost
    assert (cost.generated, cost.verified) == (9 * 6, 9)


def test_a_right_and_a_wrong_answer(arithmetic):
    assert arithmetic.gold is not None
    right, wrong = rows_of(arithmetic, response(f"So: {arithmetic.gold}"), response("\\boxed{99999}"))
    assert (right["status"], right["value"], right["reason"]) == ("ok", 1.0, "match")
    assert (wrong["status"], wrong["value"], wrong["answer"]) == ("wrong", 0.0, "99999")
    assert right["text"] == f"So: {arithmetic.gold}"
    assert right["prompt"] == arithmetic.prompt


def test_a_rubrics_partial_credit_is_no_right_answer():
    chat = DOMAINS["chat"]
    problem = chat.problem(random.Random(0))
    good = chat.good_response(problem, random.Random(0))
    met, partly = rows_of(problem, response(good), response(good[:-1]))  # the second lacks its full stop
    assert (met["status"], met["value"]) == ("ok", 1.0)
    assert (partly["status"], partly["value"], partly["reason"]) == ("wrong", 0.0, "cut_off")


def test_answers_that_no_rule_judges_wait_for_a_reward_model(arithmetic):
    free = Problem(domain="cards", prompt="Write a card.", gold=None, verifier=NONE, spec={})
    assert shown_of(rows_of(free, response("Dear friend."), response("Hello."))) == {
        "answers": "2, to be scored by a reward model"
    }
    right = shown_of(rows_of(arithmetic, response(f"So: {arithmetic.gold}")))
    assert right["accuracy"].startswith("100.0% [")


def test_a_truncated_answer_is_not_well_formed(arithmetic):
    assert arithmetic.gold is not None
    whole, cut = rows_of(arithmetic, response(arithmetic.gold), response(arithmetic.gold, truncated=True))
    assert (whole["well_formed"], whole["truncated"]) == (True, False)
    assert (cut["well_formed"], cut["truncated"]) == (False, True)


def test_only_boxed_answers_can_be_voted_on():
    rng = random.Random(0)
    votes = {}
    for name in ("arithmetic", "code", "logic", "chat"):
        problem = DOMAINS[name].problem(rng)
        [row] = rows_of(problem, response(problem.gold or "Hello."))
        votes[name] = row["answer"] is not None
    assert votes == {"arithmetic": True, "code": False, "logic": True, "chat": False}


def test_two_texts_never_share_an_id(arithmetic):
    """Two seeds of a run may ask the same base model the same problem."""
    [one], [other], [again] = (rows_of(arithmetic, response(text)) for text in ("a", "b", "a"))
    [another_model] = rows_of(arithmetic, response("a"), model="other key")
    assert one["id"] == again["id"]
    assert len({one["id"], other["id"], another_model["id"]}) == 3
