"""Tables of the user's own as benchmarks."""

import json
import sys
from typing import Any

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.own_table import own_task, tasks_named
from afterbase.verify.answer_context import AnswerContext

WHOLE, CUT = AnswerContext(truncated=False), AnswerContext(truncated=True)


@pytest.fixture
def table(tmp_path):
    rows = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(3)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(
        "def score(response, gold): return 7.0 if gold in response else -1.0\n"
        "def bad(response): raise KeyError('x')\n"
        "def half(response, truncated): return 0.0 if truncated else 0.5\n"
    )
    return tmp_path


def marks(table, verifier: str, response: str, context: AnswerContext = WHOLE):
    task = own_task(f"{table}/sums.jsonl", verifier, {})
    score: Any = task.score  # of tasks that no model judges
    return score([(item, response) for item in task.items(Folder(None))], [context] * 3)


def test_each_row_is_a_question_in_the_words_of_the_table(table):
    task = own_task(f"{table}/sums.jsonl", "maths", {})
    items = task.items(Folder(None))
    assert [item.prompt for item in items] == [f"What is {n} + 1?" for n in range(3)]
    assert len({item.id for item in items}) == 3
    assert (task.title, task.metric) == ("sums.jsonl", "accuracy")


@pytest.mark.parametrize(("response", "right"), [("So it is 2", [0, 1, 0]), (r"\boxed{3}", [0, 0, 1]), ("no", [0] * 3)])
def test_answers_are_found_as_in_public_benchmarks(table, response, right):
    assert [mark.value for mark in marks(table, "maths", response)] == right


def test_what_was_cut_off_counts_only_where_it_marks_its_answer(table):
    assert [mark.value for mark in marks(table, "maths", "So it is 2", CUT)] == [0, 0, 0]
    assert [mark.value for mark in marks(table, "maths", "The answer is 2", CUT)] == [0, 1, 0]
    assert [mark.value for mark in marks(table, "exact", "2", WHOLE)] == [0, 1, 0]


def test_a_function_of_ones_own_gives_credit_between_0_and_1(table):
    assert [mark.value for mark in marks(table, f"{table}/mine.py:score", "2")] == [0.0, 1.0, 0.0]
    assert [mark.value for mark in marks(table, f"{table}/mine.py:half", "2")] == [0.5] * 3
    assert [mark.value for mark in marks(table, f"{table}/mine.py:half", "2", CUT)] == [0.0] * 3


def test_what_a_function_fails_on_is_in_no_number_and_tells_why(table):
    (first, *_) = marks(table, f"{table}/mine.py:bad", "2")
    assert first.failed
    assert first.reason == "raised: KeyError: 'x' (mine.py:2)"


def test_files_and_benchmarks_stand_side_by_side(table):
    names, own = tasks_named(f"gsm8k,{table}/sums.jsonl", "maths", {})
    assert (names, list(own)) == (["gsm8k", "sums"], ["sums"])
    assert tasks_named("MATH-500", None, {}) == (["math500"], {})


@pytest.mark.parametrize(
    ("tasks", "verifier", "rule"),
    [
        ("{table}/sums.jsonl", None, "a file of one's own has a verifier"),
        ("gsm8k", "maths", "a file of one's own has a verifier"),
        ("{table}/sums.jsonl,{table}/sums.jsonl", "maths", "names of their own"),
        ("{table}/sums.jsonl", "vibes", "a table's verifier is a built-in one"),
        ("{table}/sums.jsonl", "none", "judged by a verifier"),
        ("{table}/sums.jsonl", "{table}/mine.py:scor", "the file has that function"),
        ("{table}/nowhere.jsonl", "maths", "nowhere.jsonl"),
        ("bogus", None, "names benchmarks"),
        ("", None, "one benchmark or more"),
    ],
)
def test_mistakes_are_refused_before_a_model_is_asked(table, tasks, verifier, rule):
    with pytest.raises(UserError) as raised:
        tasks_named(tasks.format(table=table), verifier and verifier.format(table=table), {})
    assert rule in str(raised.value)


def test_instructions_are_refused_before_a_model_is_asked_where_nothing_can_check_them(tmp_path, monkeypatch):
    row = {"prompt": "No commas.", "told": [{"id": "punctuation:no_comma", "kwargs": {}}]}
    (tmp_path / "told.jsonl").write_text(json.dumps(row) + "\n")
    given = str(tmp_path / "told.jsonl"), "ifeval", {"instructions": "told"}
    assert own_task(*given).items(Folder(None))[0].prompt == "No commas."
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(UserError, match="NLTK and langdetect") as raised:
        own_task(*given)
    assert raised.value.remedy == "pip install 'afterbase[ifeval]'"
