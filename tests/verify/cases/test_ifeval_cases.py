import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.verify.cases.ifeval_cases import agreement

NO_COMMA = {"instruction_id": "punctuation:no_comma", "kwargs": {}}


def _file(tmp_path: Path, *rows: dict) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_all_unit_cases_of_the_reference_agree(afterbase_data: Path) -> None:
    found = agreement(afterbase_data / "ifeval" / "unit_cases.jsonl")
    assert found["n"] >= 40
    assert found["disagree"] == []


def test_all_strict_and_loose_cases_agree_but_those_labelled_by_chance(afterbase_data: Path) -> None:
    found = agreement(afterbase_data / "ifeval" / "strict_loose_cases.jsonl")
    assert found["n"] >= 218
    assert found["agree"] == found["n"] - len(found["disagree"])
    # The reference has no such letter: it drew one at random, another for each label.
    assert all(not case["kwargs"].get("letter", "a").isalpha() for case in found["disagree"])


def test_a_disagreement_is_told_with_its_line_and_labels(tmp_path: Path) -> None:
    rows = [
        {**NO_COMMA, "response": "a", "expected": True, "source": "ours"},
        {**NO_COMMA, "response": "a, b", "expected": True},
        {**NO_COMMA, "response": "a,\nb", "expected_strict": False, "expected_loose": False, "prompt": None},
        {**NO_COMMA, "response": "a,\nb", "expected_strict": False, "expected_loose": True},
    ]
    labels = {"expected_strict": False, "expected_loose": False, "got_strict": False, "got_loose": True}
    assert agreement(_file(tmp_path, *rows)) == {
        "n": 4,
        "agree": 2,
        "disagree": [
            {"line": 2, **NO_COMMA, "response": "a, b", "expected": True, "got": False},
            {"line": 3, **NO_COMMA, "response": "a,\nb", **labels},
        ],
    }


def test_an_empty_response_follows_an_instruction_by_itself_but_no_reading_does(tmp_path: Path) -> None:
    row = {**NO_COMMA, "response": "", "expected": True, "expected_strict": False, "expected_loose": False}
    assert agreement(_file(tmp_path, row))["disagree"] == []


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({**NO_COMMA, "response": "a"}, "`expected`, or"),
        ({**NO_COMMA, "response": "a", "expected_strict": None}, "`expected`, or"),
        ({"instruction_id": "x:y", "kwargs": {}, "response": "a", "expected": True}, "IFEval's 25, got `x:y`"),
        (
            {**NO_COMMA, "kwargs": {"n": 1}, "response": "a", "expected": True},
            "takes no arguments, got n: is not known",
        ),
        ({"instruction_id": "punctuation:no_comma", "response": "a", "expected": True}, "kwargs: must be given"),
    ],
)
def test_a_malformed_row_is_told_with_its_line(tmp_path: Path, row: dict, told: str) -> None:
    with pytest.raises(UserError) as error:
        agreement(_file(tmp_path, {**NO_COMMA, "response": "a", "expected": True}, row))
    assert f"line 2 of {tmp_path}" in error.value.got
    assert told in error.value.got
