"""What each verifier takes from a row of the user's table."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.core.store import Store
from afterbase.data.domains import style_of
from afterbase.data.problems.problems import train_problems
from afterbase.data.problems.source_rows import Columns, Source
from afterbase.data.problems.sources import make_source
from afterbase.verify.check import audit, check


def made(store: Store, folder: Path, rows: list[dict[str, Any]], **settings: Any) -> list[Problem]:
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = Source(path=str(folder / "t.jsonl"), train="all", test=0, **settings)
    return train_problems(make_source(store, "own", config, seed=0))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def own(tmp_path):
    source = "def score(*, answer, gold, row): return str(gold) in answer and row['level'] == 'easy'\n"
    (tmp_path / "mine.py").write_text(source)
    return f"{tmp_path}/mine.py:score"


def test_a_function_of_ones_own_judges_the_answers_to_a_table(store, tmp_path, own):
    rows = [{"question": f"{n}?", "answer": n, "level": "easy"} for n in range(3)]
    problems = made(store, tmp_path, rows, verifier=own)
    assert {p.verifier for p in problems} == {"own"}
    assert {check(p, f"It is {p.spec['answer']}.").status for p in problems} == {Status.OK}
    assert {check(p, "Who knows?").status for p in problems} == {Status.WRONG}
    assert str(tmp_path) not in json.dumps([p.spec for p in problems])
    assert style_of(problems[0]) is None


def test_the_key_is_that_of_the_function_and_not_of_its_place(store, tmp_path, own):
    rows = [{"prompt": "1?", "level": "easy"}]
    (tmp_path / "t.jsonl").write_text(json.dumps(rows[0]) + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def key(verifier: str) -> str:
        config = Source(path=str(tmp_path / "t.jsonl"), train="all", test=0, verifier=verifier)
        return make_source(store, "own", config, seed=0).key

    first = key(own)
    (elsewhere / "mine.py").write_text((tmp_path / "mine.py").read_text())
    assert key(f"{elsewhere}/mine.py:score") == first
    (elsewhere / "mine.py").write_text((tmp_path / "mine.py").read_text() + "# other\n")
    assert key(f"{elsewhere}/mine.py:score") != first


def test_exact_answers_may_be_several(store, tmp_path):
    rows = [{"prompt": "Capital?", "answer": ["Bern", "Berne"]}, {"prompt": "River?", "answer": "Aare"}]
    problems = {p.prompt: p for p in made(store, tmp_path, rows, verifier="exact")}
    assert check(problems["Capital?"], r"\boxed{berne}").status is Status.OK
    assert check(problems["River?"], r"\boxed{Rhine}").status is Status.WRONG
    assert style_of(problems["River?"]) == "boxed"


def test_choices_are_letters(store, tmp_path):
    rows = [{"prompt": "Which?", "answer": "(f)"}, {"prompt": "And?", "answer": "B"}]
    problems = {p.prompt: p for p in made(store, tmp_path, rows, verifier="choice")}
    assert check(problems["Which?"], "The answer is F").status is Status.OK
    assert audit(problems.values()) == []
    with pytest.raises(UserError, match="letter of the right option"):
        made(store, tmp_path, [{"prompt": "Which?", "answer": "Paris"}], verifier="choice")


def test_instructions_are_those_of_ifeval(store, tmp_path):
    follow = [{"id": "punctuation:no_comma", "kwargs": {}}]
    columns = Columns(instructions="rules")
    rows = [{"prompt": "Write.", "rules": follow}]
    (problem,) = made(store, tmp_path, rows, verifier="ifeval", columns=columns)
    assert [check(problem, text).status for text in ("no comma", "a, b")] == [Status.OK, Status.WRONG]
    with pytest.raises(UserError) as raised:
        made(store, tmp_path, [{"prompt": "W.", "rules": [{"id": "x:y"}]}], verifier="ifeval", columns=columns)
    assert "line 1" in raised.value.got


def test_problems_without_a_verifier_keep_their_row(store, tmp_path):
    (problem,) = made(store, tmp_path, [{"prompt": "Write.", "topic": "tea"}], verifier="none")
    assert (problem.verifier, problem.gold, problem.spec["row"]["topic"]) == ("none", None, "tea")
    assert style_of(problem) is None


def test_credit_for_cut_off_answers_is_asked_for(store, tmp_path):
    rows = [{"prompt": "1+1?", "answer": 2}]
    settings = {"verifier": "maths", "answer_by": ["last_number"]}
    (plain,) = made(store, tmp_path, rows, **settings)
    (generous,) = made(store, tmp_path, rows, **settings, credit_cut_off=True)
    assert "credit_cut_off" not in plain.spec
    assert generous.spec["credit_cut_off"] is True


@pytest.mark.parametrize(
    ("verifier", "said"),
    [("vibes", "a table's verifier"), ("nowhere.py:f", "there is no file"), ("python", "columns.function")],
)
def test_what_is_no_verifier_is_refused_with_the_table(verifier, said):
    with pytest.raises((UserError, ValidationError), match=said):
        Source(path="t.jsonl", train=1, test=0, verifier=verifier)


def test_a_function_that_cannot_be_loaded_is_refused_before_rows_are_judged(store, tmp_path):
    (tmp_path / "bad.py").write_text("import nowhere_at_all\ndef score(response): return 1\n")
    with pytest.raises(UserError, match="can be loaded"):
        made(store, tmp_path, [{"prompt": "?"}], verifier=f"{tmp_path}/bad.py:score")
