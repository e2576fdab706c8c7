import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.data.domains import code

SEEDS = st.integers(0, 2**32)


def _solve(response):
    """The function of the last fenced block; the text is our own."""
    block = response.split("```python\n")[-1].split("```")[0]
    namespace = {}
    exec(block, namespace)
    return namespace["solve"]


def _passes(response, problem):
    solve = _solve(response)
    return all(solve(*test["args"]) == test["expected"] for test in problem.spec["tests"])


@given(SEEDS)
@settings(deadline=None)
def test_gold_original_and_teacher_pass_the_tests(seed):
    rng = random.Random(seed)
    problem = code.problem(rng)
    assert _passes(problem.gold, problem)
    assert _passes(code.original_response(problem, rng), problem)
    assert _passes(code.teacher_response(problem, rng), problem)


@given(SEEDS)
@settings(deadline=None)
def test_tests_tell_every_step_and_include_the_empty_list(seed):
    problem = code.problem(random.Random(seed))
    tests = problem.spec["tests"]
    assert len(tests) == 5
    assert tests[0]["args"] == [[]]
    assert problem.gold is not None
    body = [line for line in problem.gold.splitlines() if line.startswith("    xs = ")]
    for line in body:
        assert not _passes(problem.gold.replace(line + "\n", "", 1), problem)


def test_constants_do_not_pass():
    rng = random.Random(0)
    problems = [code.problem(rng) for _ in range(300)]
    constant = [
        p for p in problems if all(test["expected"] == p.spec["tests"][0]["expected"] for test in p.spec["tests"])
    ]
    assert constant == []


@given(SEEDS)
@settings(deadline=None)
def test_the_same_rng_state_gives_the_same_texts(seed):
    def texts():
        rng = random.Random(seed)
        problem = code.problem(rng)
        responses = code.original_response(problem, rng), code.teacher_response(problem, rng)
        return problem, *responses, code.pretraining_text(rng)

    assert texts() == texts()


@given(SEEDS, SEEDS)
@settings(deadline=None)
def test_hidden_tests_depend_on_the_prompt_only(seed, other_seed):
    problem = code.problem(random.Random(seed))
    program = code._parse(problem)
    again = code._discriminating_inputs(program, problem.prompt)
    assert [test["args"][0] for test in problem.spec["tests"]] == again


@given(SEEDS)
@settings(deadline=None)
def test_spec_survives_json(seed):
    rng = random.Random(seed)
    problem = code.problem(rng)
    assert json.loads(json.dumps(problem.spec)) == problem.spec
    assert problem.verifier == "python"
    assert problem.spec["function"] == "solve"


@pytest.mark.parametrize("step", code._STEPS.values(), ids=lambda step: step.text)
@given(xs=st.lists(st.integers(-30, 30), max_size=8))
@settings(deadline=None, max_examples=10)
def test_the_code_of_a_step_does_what_the_step_does(step, xs):
    assert eval(step.code(), {"xs": xs}) == step.run(xs)


@given(SEEDS)
@settings(deadline=None)
def test_what_the_teacher_checks_is_true(seed):
    """Every `Check: A gives B` follows from the code before it, slips included; only the last word stands."""
    rng = random.Random(seed)
    text = code.teacher_response(code.problem(rng), rng)
    checked = 0
    for line in text.splitlines():
        if not line.startswith("Step "):
            continue
        for part in line.split(" Wait, that is wrong."):
            source, check = part.split(". Check: ")
            line_of_code = source.split(": ")[-1].split(" So ")[-1].removeprefix("xs = ").removeprefix("return ")
            before, after = check.removesuffix(".").removesuffix(". Right").split(" gives ")
            assert eval(line_of_code, {"xs": json.loads(before)}) == json.loads(after)
            checked += 1
    assert checked >= 2


def test_the_teacher_overthinks_and_sometimes_slips():
    rng = random.Random(1)
    problems = [code.problem(rng) for _ in range(500)]
    teacher = [code.teacher_response(problem, rng) for problem in problems]
    slips = sum("Wait, that is wrong" in text for text in teacher)
    assert 75 < slips < 175
    originals = [code.original_response(problem, rng) for problem in problems]
    assert sum(map(len, teacher)) > 5 * sum(map(len, originals))
    assert not any("Wait" in text or "Check" in text for text in originals)


def test_variety():
    rng = random.Random(2)
    problems = [code.problem(rng) for _ in range(2000)]
    assert len({problem.id for problem in problems}) > 1650
    assert len({problem.gold for problem in problems}) > 1400


def test_pretraining_text_never_answers_a_prompt():
    rng = random.Random(3)
    texts = [code.pretraining_text(rng) for _ in range(2000)]
    assert any(text.startswith("- Write a Python function") for text in texts)
    assert not any("Write a Python function" in text and "def solve" in text for text in texts)
    assert max(map(len, texts)) < 800


def test_a_problem_in_which_a_step_makes_no_difference_is_refused():
    program = [code._STEPS[text] for text in ("reverse the list", "return the sum")]
    assert code._discriminating_inputs(program, "any prompt") is None
