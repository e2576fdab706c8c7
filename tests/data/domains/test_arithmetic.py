import dataclasses
import json
import operator
import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from reasoning_gym.arithmetic.leg_counting import ANIMALS

from afterbase.core.sample import Problem, Status
from afterbase.data.domains import arithmetic, code, logic
from afterbase.verify.check import check_many
from afterbase.verify.format import well_formed

SEEDS = st.integers(min_value=0, max_value=2**32)
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
EQUATION = re.compile(r"(-?\d+) ([-+*/]) (-?\d+) = (-?\d+)\b")
STEP = re.compile(r"(-?\d+) ([-+*/]) (-?\d+) = (-?\d+)\.( Wait)?")


def problems(count: int, seed: int = 0) -> list[Problem]:
    rng = random.Random(seed)
    return [arithmetic.problem(rng) for _ in range(count)]


def holds(equation: tuple[str, ...]) -> bool:
    left, sign, right, result = equation[:4]
    return OPERATORS[sign](int(left), int(right)) == int(result)


@given(SEEDS)
@settings(deadline=None)
def test_the_same_rng_state_gives_the_same_text(seed: int):
    first, second = random.Random(seed), random.Random(seed)
    problem = arithmetic.problem(first)
    assert problem == arithmetic.problem(second)
    assert arithmetic.teacher_response(problem, first) == arithmetic.teacher_response(problem, second)
    assert arithmetic.pretraining_text(first) == arithmetic.pretraining_text(second)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_gold_original_and_teacher_are_right_and_well_formed(seed: int):
    rng = random.Random(seed)
    problem = arithmetic.problem(rng)
    responses = [
        problem.gold or "",
        arithmetic.original_response(problem, rng),
        arithmetic.teacher_response(problem, rng),
    ]
    assert {v.status for v in check_many([(problem, r) for r in responses])} == {Status.OK}, responses
    assert all(well_formed(r, style="boxed") for r in responses)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_the_gold_is_what_the_prompt_asks_for(seed: int):
    """Worked out from the prompt alone, without the spec."""
    problem = arithmetic.problem(random.Random(seed))
    asked = re.search(r"problem: (.*) = Give", problem.prompt)
    if asked is not None:
        answer = eval(asked[1], {})
    else:
        legs = {f"{name}{plural}": legs for name, legs in ANIMALS.items() for plural in ("", "s")}
        herd = re.findall(r"(\d+) ([a-z ]+)", problem.prompt.rsplit("have", 1)[1])
        answer = sum(int(count) * legs[animal] for count, animal in herd)
    assert problem.gold == f"\\boxed{{{answer}}}"


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_the_teachers_steps_are_true_but_for_slips_that_it_takes_back(seed: int):
    rng = random.Random(seed)
    text = arithmetic.teacher_response(arithmetic.problem(rng), rng)
    steps = STEP.findall(text)
    assert len(steps) >= 2
    for *equation, wait in steps:
        assert holds(tuple(equation)) != bool(wait), (equation, text)
    assert text.count("Wait") == sum(bool(wait) for *_, wait in steps)  # each of them is looked at above


def test_a_check_leads_from_the_result_back_to_where_the_step_began():
    rng = random.Random(0)
    text = "\n".join(arithmetic.teacher_response(p, rng) for p in problems(100))
    checked = re.findall(r"(-?\d+) ([-+*]) -?\d+ = (-?\d+)\. Check: (-?\d+) ([-+/]) (-?\d+) = (-?\d+)\. Right", text)
    assert len(checked) == text.count("Check:") > 100
    for left, sign, result, start, undo, by, end in checked:
        assert start == result
        assert (sign + undo, left) in {("+-", end), ("-+", end), ("*/", by)}
    caught = re.findall(
        r"(-?\d+) [-+] -?\d+ = (-?\d+)\. Wait, let me check: (-?\d+) .*? = (-?\d+)\. That is not (-?\d+),", text
    )
    assert len(caught) == text.count("Wait") > 5
    assert all(left == wanted != found and slip == start for left, slip, start, found, wanted in caught)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_raw_text_holds_true_equations_only(seed: int):
    rng = random.Random(seed)
    for text in (arithmetic.pretraining_text(rng), arithmetic.worked_text(rng)):
        assert all(holds(equation) for equation in EQUATION.findall(text)), text


def test_the_last_step_of_a_chain_gives_the_answer():
    for problem in problems(50):
        *_, last, answer = arithmetic.teacher_response(problem, random.Random(0)).splitlines()
        step, _, _ = last.partition(" Check:")
        assert answer == f"So the answer is \\boxed{{{STEP.findall(step)[-1][3]}}}"


def test_problems_and_answers_vary():
    many = problems(300)
    assert len({p.prompt for p in many}) > 280
    families = [p.spec["family"] for p in many]
    assert 60 < families.count("leg_counting") < 150
    assert len({len(p.spec["expression"].split()) for p in many if "expression" in p.spec}) > 2
    assert len({len(p.spec["animals"]) for p in many if "animals" in p.spec}) > 1
    assert len({arithmetic.teacher_response(many[0], random.Random(i)) for i in range(30)}) > 15


def test_the_teacher_has_r1s_virtues_and_vices_and_not_always():
    rng = random.Random(0)
    texts = [arithmetic.teacher_response(p, rng) for p in problems(200)]
    for habit in ("Check:", "Wait, let me check:", "Let me go over it once more."):
        assert 10 < sum(habit in text for text in texts) < 200, habit
    originals = [arithmetic.original_response(p, rng) for p in problems(200)]
    assert sum(map(len, texts)) > 3 * sum(map(len, originals))


def test_a_problem_survives_json_with_sorted_keys():
    for problem in problems(50):
        again = dataclasses.replace(problem, spec=json.loads(json.dumps(problem.spec, sort_keys=True)))
        assert again == problem
        for write in (arithmetic.original_response, arithmetic.teacher_response):
            assert write(again, random.Random(1)) == write(problem, random.Random(1))


def test_the_system_prompt_is_one_and_the_same_sentence_for_all_reasoning_domains():
    prompts = {domain.REFLECTIVE_SYSTEM_PROMPT for domain in (arithmetic, code, logic)}
    assert prompts == {"Think step by step. Reflect on each step and verify it before you answer."}
