"""Every benchmark reads its published sample, accepts its own right answers, and refuses an empty one."""

import random
import sys

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.tasks import TASKS, named
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.code.harness import Harness
from afterbase.eval.tasks.task import Judging, Task, refuse_repeated

SAMPLED = {
    "mmlu": 50,
    "mmlu_redux": 49,  # one question of the sample has no right option
    "mmlu_pro": 50,
    "ceval": 50,
    "cluewsc": 50,
    "gsm8k": 50,
    "math500": 50,
    "aime2024": 15,
    "humaneval": 50,
}


def _task(name: str) -> Task:
    task = TASKS[name]
    assert isinstance(task, Task)
    return task


@pytest.mark.parametrize("name", SAMPLED)
def test_right_answers_are_right_and_empty_ones_wrong(afterbase_data, name):
    task = _task(name)
    items = refuse_repeated(task.items(Folder(afterbase_data / "capability")), task.title)
    assert len(items) == SAMPLED[name]
    if task.needs() is not None:
        pytest.skip(f"{name} needs {task.needs()}")
    assert not isinstance(task.score, Judging)
    marks = task.score([(item, item.right or "") for item in items])
    assert [(item.id, mark) for item, mark in zip(items, marks, strict=True) if mark.value != 1] == []
    assert all(mark.value == 0 and not mark.failed for mark in task.score([(item, "") for item in items]))


@pytest.mark.parametrize("name", ["mmlu", "mmlu_redux", "mmlu_pro", "ceval"])
def test_twins_of_multiple_choice_ask_the_same_with_the_letters_moved(afterbase_data, name):
    task = _task(name)
    items = task.items(Folder(afterbase_data / "capability"))
    twins = [(item, task.twins["options"](item, random.Random(item.id))) for item in items]
    made = [(item, twin) for item, twin in twins if twin is not None]
    assert len(made) > 0.8 * len(items)
    for item, twin in made:
        assert twin.id == item.id
        assert twin.gold.letter != item.gold.letter
        assert sorted(twin.prompt) == sorted(item.prompt)


@pytest.mark.parametrize("name", ["mmlu", "mmlu_redux", "mmlu_pro", "gsm8k", "math500", "aime2024"])
def test_twins_in_other_words_change_the_question_alone(afterbase_data, name):
    task = _task(name)
    items = task.items(Folder(afterbase_data / "capability"))
    twins = [(item, twin) for item in items if (twin := task.twins["words"](item, random.Random(0))) is not None]
    assert len(twins) > 0.1 * len(items)
    for item, twin in twins:
        assert (twin.id, twin.gold, twin.right) == (item.id, item.gold, item.right)
        assert twin.question != item.question
        assert twin.prompt.replace(twin.question, item.question) == item.prompt


@pytest.mark.parametrize("name", SAMPLED)
def test_questions_are_in_the_prompts_without_what_all_prompts_say(afterbase_data, name):
    items = _task(name).items(Folder(afterbase_data / "capability"))
    words = [set(item.question.split()) for item in items]
    assert all(item.question in item.prompt for item in items)
    assert set.intersection(*words) <= {"the", "of", "to", "a", "is", "def"}  # a program begins with it


def test_every_benchmark_says_what_it_needs(tmp_path):
    for name, task in TASKS.items():
        assert task.licence, name
        if isinstance(task, Harness):
            continue
        lacks = [Folder(tmp_path).missing(source) for source in task.sources]
        assert all(lack is not None and "does not exist" in lack for lack in lacks), name


@pytest.mark.parametrize("name", ["ifeval", "c_simpleqa", "humaneval_mul"])
def test_samples_without_right_answers_are_read(afterbase_data, name):
    items = _task(name).items(Folder(afterbase_data / "capability"))
    assert len(refuse_repeated(items, name)) == (56 if name == "humaneval_mul" else 50)


def test_ifeval_follows_every_instruction_or_not_at_all(afterbase_data):
    task = _task("ifeval")
    assert not isinstance(task.score, Judging)
    items = [
        item
        for item in task.items(Folder(afterbase_data / "capability"))
        if [one["id"] for one in item.gold["instructions"]] == ["punctuation:no_comma"]
    ]
    assert items
    assert [m.value for m in task.score([(items[0], "No comma."), (items[0], "One, comma."), (items[0], "")])] == [
        1,
        0,
        0,
    ]


def test_names_in_any_spelling_each_once():
    assert named("gsm8k, MATH-500,mmlu_test,GSM8K") == ["gsm8k", "math500", "mmlu"]


@pytest.mark.parametrize("text", ["", ",", "gsm8k,bogus"])
def test_unknown_names_are_told_the_known_ones(text):
    with pytest.raises(UserError) as raised:
        named(text)
    assert "mmlu" in raised.value.remedy


def test_without_its_packages_ifeval_is_refused_before_it_begins(monkeypatch):
    assert _task("ifeval").needs() is None
    monkeypatch.setitem(sys.modules, "langdetect", None)
    assert _task("ifeval").needs() == "langdetect (pip install 'afterbase[ifeval]')"
