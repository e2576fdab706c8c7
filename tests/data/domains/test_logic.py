import dataclasses
import json
import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.sample import Problem, Status
from afterbase.data.domains import logic
from afterbase.verify.check import check, check_many
from afterbase.verify.format import well_formed

SEEDS = st.integers(min_value=0, max_value=2**32)
CASE = re.compile(r"Say (\w+ = \w+), (\w+ = \w+)\. (.*)$", re.MULTILINE)
JUDGED = re.compile(r"(\w+): ([^.]+), (fits|does not fit)\.")
LEAF = re.compile(r"(\w+) is an? (\w+): (\w+) = (\w+), (true|false)")
EVALUATED = re.compile(r"; ([a-z ]+) = (true|false)\b")
SLIP = re.compile(r"(\w+): (true|false)\. Wait, that is wrong\. \1: [^.]*?(true|false), (?:fits|does)")
TRUTH = {"true": True, "false": False}


def problems(count: int, seed: int = 0) -> list[Problem]:
    rng = random.Random(seed)
    return [logic.problem(rng) for _ in range(count)]


def value(words: str) -> bool:
    """Worked out anew: `true and false`, `if true then false`, ..."""
    first, second = (TRUTH[word] for word in re.findall("true|false", words))
    if words.startswith("if "):
        return not first or second
    if " if and only if " in words:
        return first == second
    return first and second if " and " in words else first or second


@given(SEEDS)
@settings(deadline=None)
def test_the_same_rng_state_gives_the_same_text(seed: int):
    first, second = random.Random(seed), random.Random(seed)
    problem = logic.problem(first)
    assert problem == logic.problem(second)
    assert logic.teacher_response(problem, first) == logic.teacher_response(problem, second)
    assert logic.pretraining_text(first) == logic.pretraining_text(second)


@given(SEEDS)
@settings(deadline=None)
def test_gold_original_and_teacher_are_right_and_well_formed(seed: int):
    rng = random.Random(seed)
    problem = logic.problem(rng)
    responses = [problem.gold or "", logic.original_response(problem, rng), logic.teacher_response(problem, rng)]
    assert {v.status for v in check_many([(problem, r) for r in responses])} == {Status.OK}, responses
    assert all(well_formed(r, style="boxed") for r in responses)


def test_the_other_three_answers_are_wrong():
    problem = problems(1)[0]
    names, roles = problem.spec["names"], problem.spec["roles"]
    answers = [f"\\boxed{{{names[0]} is {a}, and {names[1]} is {b}}}" for a in roles for b in roles]
    assert problem.gold in answers
    assert [check(problem, a).status for a in answers if a != problem.gold] == [Status.WRONG] * 3


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_the_one_case_where_everything_fits_is_the_answer(seed: int):
    rng = random.Random(seed)
    problem = logic.problem(rng)
    *cases, last = logic.teacher_response(problem, rng).splitlines()
    told = [found.groups() for case in cases if (found := CASE.search(case))]
    fitting = {(first, second) for first, second, judged in told if "does not fit" not in judged}
    articles = dict(zip((r.split()[1] for r in problem.spec["roles"]), problem.spec["roles"], strict=True))
    [roles] = [[part.split(" = ") for part in case] for case in fitting]
    (first, a), (second, b) = roles
    assert f"So the answer is \\boxed{{{first} is {articles[a]}, and {second} is {articles[b]}}}" == last
    assert all(judged.count("fit") == 2 for _, _, judged in told if "does not fit" not in judged)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_what_is_evaluated_is_evaluated_right(seed: int):
    rng = random.Random(seed)
    problem = logic.problem(rng)
    for text in (logic.teacher_response(problem, rng), logic.pretraining_text(rng), logic.worked_text(rng)):
        for words, result in EVALUATED.findall(text):
            assert value(words) == TRUTH[result], text


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_a_slip_is_taken_back(seed: int):
    rng = random.Random(seed)
    text = logic.teacher_response(logic.problem(rng), rng)
    slips = SLIP.findall(text)
    assert len(slips) == text.count("that is wrong")
    assert all(said != meant for _, said, meant in slips), text


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_each_statement_is_judged_under_the_roles_of_its_case(seed: int):
    """Worked out anew: the statement's leaves under the roles, what the whole says, whether that fits the speaker."""
    rng = random.Random(seed)
    problem = logic.problem(rng)
    text = logic.teacher_response(problem, rng)
    honest, liar = (role.split()[1] for role in problem.spec["roles"])
    for first, second, judged in CASE.findall(text):
        roles = dict(part.split(" = ") for part in (first, second))
        told = JUDGED.findall(judged)
        assert [name for name, *_ in told] == problem.spec["names"][: len(told)]
        assert len(told) == 2 or told[0][2] == "does not fit"
        for name, words, fits in told:
            leaves = LEAF.findall(words)
            for person, claimed, same_person, role, truth in leaves:
                assert person == same_person
                assert role == roles[person]
                assert TRUTH[truth] == (claimed == role)
            joined = EVALUATED.search(words)
            assert bool(joined) == (len(leaves) == 2)
            if joined:
                assert re.findall("true|false", joined[1]) == [truth for *_, truth in leaves]
            truth = joined[2] if joined else leaves[0][4]
            assert (TRUTH[truth] == (roles[name] == honest)) == (fits == "fits"), text
            assert roles[name] in (honest, liar)


def test_problems_and_answers_vary():
    many = problems(300)
    assert len({p.prompt for p in many}) > 280
    assert len({json.dumps(p.spec["statements"]) for p in many}) > 80
    assert len({tuple(p.spec["solution"]) for p in many}) == 4
    assert len({logic.teacher_response(many[0], random.Random(i)) for i in range(30)}) > 8
    assert len({logic.pretraining_text(random.Random(i)) for i in range(200)}) > 140


def test_the_teacher_has_r1s_virtues_and_vices_and_not_always():
    rng = random.Random(0)
    texts = [logic.teacher_response(p, rng) for p in problems(200)]
    for habit in ("Wait, that is wrong.", "Wait, let me check again."):
        assert 20 < sum(habit in text for text in texts) < 180, habit
    lengths = [len(CASE.findall(text)) for text in texts]
    assert min(lengths) == 1
    assert max(lengths) == 5  # all four cases and the recap


def test_a_problem_survives_json_with_sorted_keys():
    for problem in problems(50):
        again = dataclasses.replace(problem, spec=json.loads(json.dumps(problem.spec, sort_keys=True)))
        assert again == problem
        assert logic.teacher_response(again, random.Random(1)) == logic.teacher_response(problem, random.Random(1))


def test_a_spec_holds_plain_types_only():
    """NumPy's strings print as np.str_('...') wherever a spec is shown."""

    def types(part: object) -> set[type]:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        return {type(part)}.union(*map(types, inner))

    assert set().union(*(types(p.spec) for p in problems(20))) == {dict, list, str, int, bool}
