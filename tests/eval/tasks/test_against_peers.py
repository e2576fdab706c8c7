"""The probes beside the test suites of our verifiers' peers: what is read of choices, judges and programs."""

import json

import pytest

from afterbase.eval.judged.arena_hard.score import verdict
from afterbase.eval.tasks.code import livecodebench
from afterbase.eval.tasks.knowledge.judged_answers import JUDGING
from afterbase.eval.tasks.knowledge.multiple_choice import chosen
from afterbase.eval.tasks.task import Item
from afterbase.sandbox.programs import Case
from afterbase.verify.match import check_choice


def rows(folder, name):
    lines = (folder / "peers" / name).read_text(encoding="utf-8").splitlines()
    return [(row["args"], row["expected"]) for row in map(json.loads, lines)]


def disagreeing(read, cases):
    return [(args, found) for args, expected in cases if (found := read(*args)) != expected]


def test_letters_of_benchmarks(afterbase_data):
    assert disagreeing(chosen, rows(afterbase_data, "api_choice.jsonl")) == []


def test_letters_of_rewards(afterbase_data):
    def right(response, answer):
        return check_choice(response=response, spec={"answer": answer}).value == 1

    assert disagreeing(right, rows(afterbase_data, "api_choice_reward.jsonl")) == []


def test_verdicts_of_arena_hard(afterbase_data):
    assert disagreeing(verdict, rows(afterbase_data, "api_verdicts.jsonl")) == []


def test_words_of_judges(afterbase_data):
    assert disagreeing(lambda reply: JUDGING.mark(reply).reason, rows(afterbase_data, "api_simpleqa.jsonl")) == []


def test_programs_of_livecodebench(afterbase_data):
    if (lack := livecodebench.isolation()) is not None:
        pytest.skip(f"needs {lack}")
    cases = rows(afterbase_data, "api_livecodebench.jsonl")
    answered = [
        (Item(id="", prompt="", question="", gold=(method, tuple(Case(*test) for test in tests))), program)
        for (program, tests, method), _ in cases
    ]
    marks = livecodebench.score(answered)
    assert [args for (args, expected), mark in zip(cases, marks, strict=True) if bool(mark.value) != expected] == []
