import json
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym
from typer.testing import CliRunner

from afterbase.cli.main import app
from afterbase.core.errors import UserError
from afterbase.core.sample import Verdict
from afterbase.verify import check
from afterbase.verify.cases.answers import judged

DOUBLE = {"function": "f", "tests": [{"args": [2], "expected": 4}]}
ECHO = {"language": "python", "tests": [{"stdin": "a\n", "stdout": "a\n"}]}
OPEN = {"sentences": [1, 2], "words": [1, 9], "must_mention": [["cat"]], "persona_marks": [], "must_not": []}
NO_COMMA = {"instructions": [{"id": "punctuation:no_comma", "kwargs": {}}]}
LATIN = {"dataset": "letter_counting", "entry": {"question": "", "answer": "3", "metadata": {}}, "answer_by": ["all"]}


def file_of(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def row(verifier: str, spec: object, response: object, **others: object) -> dict[str, Any]:
    return {"id": 1, "verifier": verifier, "spec": spec, "response": response, **others}


def told(tmp_path: Path, *rows: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["status"], one["reason"]) for one in judged(file_of(tmp_path, *rows), lambda _: None)["results"]]


@pytest.mark.parametrize(
    ("verifier", "spec", "right", "wrong"),
    [
        ("maths", {"answer": "x^2+1"}, r"\boxed{1+x^2}", r"\boxed{__import__('os')}"),
        ("maths", {"answer": "4", "answer_by": ["last_number"], "evaluated": False}, "so 4", "so 5"),
        ("exact", {"answer": ["Rome", "Roma"]}, r"\boxed{roma}", r"\boxed{Oslo}"),
        ("choice", {"answer": "B", "options": ["one", "two"]}, r"\boxed{B}", r"\boxed{A}"),
        ("ifeval", NO_COMMA, "none", "one, two"),
        ("program", ECHO, "```python\nprint(input())\n```", "```python\n1 / 0\n```"),
        ("python", DOUBLE, "```python\ndef f(x): return 2 * x\n```", "```python\ndef f(x): return 5\n```"),
        ("reasoning_gym", LATIN, "3", "entry['answer']"),
        ("rubric", OPEN, "A cat sat.", "A dog sat."),
    ],
)
def test_each_verifier_judges(verifier: str, spec: dict[str, Any], right: str, wrong: str, tmp_path: Path) -> None:
    # What no encoding has, and what ends a text of C's, is in no way of an answer.
    odd = [f"\ud800{wrong}", f"{wrong}\0", "\ud800\0", ""]
    said = told(tmp_path, *(row(verifier, spec, response) for response in [right, wrong, *odd, right]))
    statuses = [status for status, _ in said]
    assert (statuses[:4], statuses[-1]) == (["ok", "wrong", "wrong", "wrong"], "ok")
    assert "failed" not in statuses


def test_results_are_in_the_order_of_the_rows_under_their_own_ids(tmp_path: Path) -> None:
    rows = [
        row("exact", {"answer": "a"}, r"\boxed{a}", id="ä\ud800"),
        row("maths", {"answer": "7"}, r"\boxed{7}", id=7),
        row("exact", {"answer": "a"}, r"\boxed{b}", id=7),
    ]
    result = CliRunner().invoke(app, ["verify", "answers", str(file_of(tmp_path, *rows)), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "n": 3,
        "results": [
            {"id": "ä\ud800", "status": "ok", "value": 1.0, "reason": "match"},
            {"id": 7, "status": "ok", "value": 1.0, "reason": "match"},
            {"id": 7, "status": "wrong", "value": 0.0, "reason": "mismatch"},
        ],
    }
    people = CliRunner().invoke(app, ["verify", "answers", str(file_of(tmp_path, *rows))])
    assert people.stdout.splitlines()[0] == "n: 3"
    assert json.loads(people.stdout.splitlines()[3])["reason"] == "mismatch"


@pytest.mark.parametrize("dataset", ["arc_agi", "codeio", "countdown", "rearc"])
def test_puzzles_that_were_written_as_json_accept_their_own_answer(dataset: str, tmp_path: Path) -> None:
    entry = reasoning_gym.create_dataset(dataset, size=1, seed=0)[0]
    spec = {"dataset": dataset, "entry": entry}
    assert told(tmp_path, row("reasoning_gym", spec, f"\\boxed{{{entry['answer']}}}")) == [("ok", "match")]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row("mathz", {}, ""), "verifier 'mathz' is none of choice, exact"),
        (row("maths", {}, ""), "spec.answer of `maths`"),
        (row("maths", {"answer": 4}, ""), "spec.answer of `maths`: must be a text, not 4"),
        (row("maths", {"answer": "4", "answer_by": ["somewhere"]}, ""), "spec.answer_by.0 of `maths`"),
        (row("maths", {"answer": "4", "answer_by": []}, ""), "spec.answer_by of `maths`"),
        (row("maths", {"answer": "4", "evaluated": "no"}, ""), "spec.evaluated of `maths`"),
        (row("exact", {"answer": []}, ""), "spec.answer"),
        (row("choice", {"answer": "E"}, ""), "none of the options"),
        (row("choice", {"answer": "A", "options": True}, ""), "spec.options"),
        (row("ifeval", {"instructions": []}, ""), "no instruction"),
        (row("ifeval", {"instructions": [{"id": "x"}]}, ""), "`x`"),
        (row("program", {**ECHO, "language": "cobol"}, ""), "spec.language of `program`: 'cobol'"),
        (row("program", {**ECHO, "tests": []}, ""), "spec.tests of `program`"),
        (row("python", {"function": "f", "tests": [{"args": [1]}]}, ""), "spec.tests.0.expected of `python`"),
        (row("python", {"function": "f", "tests": [{"args": 1, "expected": 1}]}, ""), "spec.tests.0.args"),
        (row("reasoning_gym", {"dataset": "chain_sum"}, ""), "spec.entry of `reasoning_gym`"),
        (row("reasoning_gym", {"dataset": "chain_sum", "entry": {"question": "", "metadata": {}}}, ""), "entry.answer"),
        (row("rubric", {**OPEN, "words": [1]}, ""), "spec.words of `rubric`"),
        (row("maths", {"answer": "4"}, None), "response"),
        (row("maths", {"answer": "4"}, "", id=None), "id"),
        (row("maths", {"answer": "4"}, "", id=True), "id"),
        (row("maths", ["answer"], ""), "spec"),
        ("[" * 100_000 + "\n", "nested too deeply"),
        ("1" * 5000 + "\n", "more than 4,300 digits"),
        ("nonsense\n", "no JSON from character 1 on"),
    ],
)
def test_a_row_that_is_none_is_told_with_its_line_before_any_is_judged(bad: Any, why: str, tmp_path: Path) -> None:
    path = file_of(tmp_path, row("maths", {"answer": "4"}, r"\boxed{4}"), bad)
    with pytest.raises(UserError) as told:
        judged(path, lambda _: None)
    assert told.value.got.startswith(f"line 2 of {path}: ")
    assert why in told.value.got


def test_an_answer_that_makes_a_verifier_raise_is_failed_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fragile(answers: check.Answers) -> list[Verdict]:
        assert all(response != "boom" for _, response in answers)
        return check._exact(answers)

    monkeypatch.setitem(check._VERIFIERS, "exact", fragile)
    said = told(tmp_path, *(row("exact", {"answer": "a"}, r) for r in (r"\boxed{a}", "boom", r"\boxed{b}")))
    assert said == [("ok", "match"), ("failed", "verifier_error"), ("wrong", "mismatch")]


def test_a_language_without_tools_is_failed_and_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(language: object) -> None:
        raise UserError("a language needs its tools", got="none", remedy="install them")

    monkeypatch.setattr("afterbase.verify.cases.answers.toolchain", missing)
    said = told(tmp_path, row("program", ECHO, "print(1)"), row("exact", {"answer": "a"}, r"\boxed{a}"))
    assert said == [("failed", "toolchain"), ("ok", "match")]
