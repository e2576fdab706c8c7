"""What an audit of one verifier on a table finds."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from afterbase.cli.main import app
from afterbase.core.errors import UserError
from afterbase.eval.audit_table import audit_table

SOURCE = """
def score(*, response, gold, **context): return gold in response
def boxed(response, gold): return "boxed{" + gold + "}" in response
def generous(response): return True
def picky(response, gold):
    if gold == "2":
        raise ValueError("cannot tell")
    return response == gold
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [{"question": f"What is {n} less than {2 * n}?", "answer": str(n)} for n in range(1, 6)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path


def found(table: Path, verifier: str, **columns: str) -> dict:
    (told,) = audit_table(table / "sums.jsonl", verifier, columns).values()
    return told


def test_a_verifier_that_is_right_refuses_no_gold_and_accepts_nothing_wrong(table):
    told = found(table, "maths")
    assert (told["verifier"], told["n"], told["form"], told["rejected"]) == ("maths", 5, "response", 0)
    assert told["low"] == 0 < told["high"] < 1
    assert {kind: of["accepted"] for kind, of in told["wrong"].items()} == {
        "another row's answer": 0, "empty": 0, "the prompt itself": 0
    }  # fmt: skip
    assert (told["false_positive_rate"], told["failed"], told["first_failure"]) == (0.0, {}, None)
    assert 0 < told["seconds"]["median"] <= told["seconds"]["most"]


def test_a_loose_function_is_found_out_by_the_prompt(table):
    told = found(table, f"{table}/mine.py:score")
    assert (told["verifier"], told["form"], told["rejected"]) == ("mine.py:score", "bare", 0)
    assert told["wrong"]["the prompt itself"]["accepted"] == 5
    assert told["wrong"]["another row's answer"]["accepted"] == 0
    assert "line 1" in told["wrong"]["the prompt itself"]["first"]
    assert found(table, f"{table}/mine.py:generous")["false_positive_rate"] == 1.0


def test_the_form_is_the_one_that_is_accepted(table):
    assert found(table, f"{table}/mine.py:boxed")["form"] == "box"


def test_failures_are_counted_by_reason_and_are_in_no_rate(table):
    told = found(table, f"{table}/mine.py:picky")
    assert (told["n"], told["rejected"]) == (4, 0)
    assert told["failed"] == {"raised": 4}
    assert told["first_failure"] == "raised: ValueError: cannot tell (mine.py:7)"


def test_a_table_without_answers_is_audited_by_wrong_ones_alone(table):
    (table / "sums.jsonl").write_text('{"prompt": "Write a poem."}\n')
    told = found(table, f"{table}/mine.py:generous")
    assert (told["n"], told["form"], told["false_negative_rate"], told["low"]) == (0, None, None, None)
    assert told["wrong"]["empty"]["accepted"] == 1


def test_mistakes_are_refused(table):
    with pytest.raises(UserError, match="the file has that function"):
        found(table, f"{table}/mine.py:scor")
    with pytest.raises(UserError, match="did you mean `question`"):
        found(table, "maths", prompt="questoin")


def test_the_command_tells_it_as_json(table):
    arguments = ["verify", "audit", f"{table}/sums.jsonl", "--verifier", f"{table}/mine.py:score", "--json"]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(told.stdout)["sums"]["rejected"] == 0
