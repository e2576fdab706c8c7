import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import Problem, Status
from afterbase.data.domains import chat
from afterbase.data.domains.chat_flaws import Flaw
from afterbase.verify.rubric import check_rubric

SEEDS = st.integers(min_value=0, max_value=2**32)
# The reasons by which the rubric may refuse each planted flaw; the last two it cannot see.
SEEN_AS = {
    Flaw.OFF_TOPIC: {"off_topic", "forbidden"},
    Flaw.OUT_OF_PERSONA: {"out_of_persona", "forbidden"},
    Flaw.WRONG_FACT: {"forbidden"},
    Flaw.REPEATS: {"repeats"},
    Flaw.SENTENCE_COUNT: {"sentence_count", "too_long"},
    Flaw.CUT_OFF: {"cut_off", "too_short"},
    Flaw.TOO_LONG: {"too_long"},
    Flaw.CLASH: {"met", "forbidden"},
    Flaw.SLIP: {"met"},
}


def problems(count: int, seed: int = 0) -> list[Problem]:
    rng = random.Random(seed)
    return [chat.problem(rng) for _ in range(count)]


@given(SEEDS)
def test_the_same_rng_state_gives_the_same_text(seed: int):
    first, second = random.Random(seed), random.Random(seed)
    problem = chat.problem(first)
    assert problem == chat.problem(second)
    assert chat.draft_response(problem, first) == chat.draft_response(problem, second)
    assert chat.pretraining_text(first) == chat.pretraining_text(second)


@given(SEEDS)
@settings(max_examples=500, deadline=None)
def test_a_good_response_meets_the_rubric(seed: int):
    rng = random.Random(seed)
    problem = chat.problem(rng)
    response = chat.good_response(problem, rng)
    assert check_rubric(response=response, spec=problem.spec).status is Status.OK, (problem.prompt, response)


@given(SEEDS)
@settings(max_examples=500, deadline=None)
def test_the_rubric_sees_each_planted_flaw_that_it_can(seed: int):
    rng = random.Random(seed)
    problem = chat.problem(rng)
    response, flaw = chat.flawed_response(problem, rng)
    reason = check_rubric(response=response, spec=problem.spec).reason
    assert reason in SEEN_AS[Flaw(flaw)], (flaw, problem.prompt, response)


def test_every_flaw_occurs():
    rng = random.Random(0)
    assert {chat.flawed_response(problem, rng)[1] for problem in problems(400)} == set(Flaw)


def test_a_problem_has_no_gold_and_survives_json():
    for problem in problems(50):
        assert (problem.gold, problem.verifier, problem.domain) == (None, "rubric", "chat")
        assert json.loads(json.dumps(problem.spec)) == problem.spec


def test_all_kinds_occur_and_prompts_rarely_repeat():
    made = problems(1000)
    assert {problem.spec["kind"] for problem in made} == {"writing", "roleplay", "question"}
    assert len({problem.id for problem in made}) > 600


def test_about_three_drafts_in_ten_fail_or_are_clumsy():
    rng = random.Random(1)
    refused = [
        check_rubric(response=chat.draft_response(p, rng), spec=p.spec).status is Status.WRONG for p in problems(2000)
    ]
    # Flaws that the rubric cannot see are left out of the count.
    assert 0.18 < sum(refused) / len(refused) < 0.3


def test_answers_vary():
    rng = random.Random(2)
    for problem in problems(20):
        if problem.spec["kind"] != "question":
            assert len({chat.good_response(problem, rng) for _ in range(40)}) > 10, problem.prompt


def test_pretraining_text_holds_no_request_and_no_template_hole():
    rng = random.Random(3)
    for _ in range(500):
        text = chat.pretraining_text(rng)
        assert 10 < len(text.split()) < 100
        assert not any(mark in text for mark in "{}\\`")
        assert not any(request in text for request in ("Write ", "Describe ", "Speak like", "Answer in", "You are a"))


@pytest.mark.parametrize("kind", ["writing", "roleplay", "question"])
def test_the_rubric_of_one_kind_refuses_answers_to_another(kind: str):
    rng = random.Random(4)
    mine = [problem for problem in problems(300) if problem.spec["kind"] == kind]
    others = [chat.good_response(problem, rng) for problem in problems(300) if problem.spec["kind"] != kind]
    passed = [check_rubric(response=rng.choice(others), spec=problem.spec).status is Status.OK for problem in mine]
    assert not any(passed)
