import json
from pathlib import Path

import pytest

from afterbase.verify.cases.maths_cases import Case, agreement, judge


def _file(tmp_path: Path, *rows: dict) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_all_published_cases_agree(afterbase_data: Path) -> None:
    found = agreement(afterbase_data / "math_equiv" / "cases.jsonl")
    assert found["n"] >= 200
    assert found["disagree"] == []
    assert found["agree"] == found["n"]


def test_a_disagreement_is_told_with_its_line(tmp_path: Path) -> None:
    rows = [{"gold": "1", "pred": "1.0", "expected": True}, {"gold": "1", "pred": "2", "expected": True, "more": 1}]
    assert agreement(_file(tmp_path, *rows)) == {
        "n": 2,
        "agree": 1,
        "disagree": [
            {
                "line": 2,
                "kind": "answer_only_equiv",
                "gold": "1",
                "pred": "2",
                "expected": True,
                "got": False,
                "reason": "mismatch",
            }
        ],
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"gold": "1.2341", "pred": "1.2342", "float_rounding": 3}, True),
        ({"gold": "1.2341", "pred": "1.2342", "float_rounding": 6}, False),
        ({"gold": "$(1,2)$", "pred": "${1,2}$", "strict": True}, True),
        ({"gold": "$x < 1$", "pred": "$(-\\infty, 1)$", "allow_set_relation_comp": True}, True),
        ({"gold": "$[1,2]$", "pred": "$1 \\leq x \\leq 2$", "allow_set_relation_comp": False}, False),
        ({"gold": r"$28\%$", "pred": "$28$"}, False),
        ({"gold": r"$28\%$", "pred": "$0.28$"}, True),
        ({"gold": r"$28\%$", "pred": "28 percent"}, True),
        ({"gold": r"$28\%$", "pred": "$28pct$"}, True),
        ({"gold": "$1$", "pred": r"$100\%$"}, True),
        ({"gold": r"$\{20\%, 30\%\}$", "pred": r"$\{30\%, 20\%\}$"}, True),
        ({"gold": "4", "pred": "four, $4$", "match_types": ["latex"]}, False),
        ({"gold": "4", "pred": "four, 4", "match_types": ["expr"]}, True),
    ],
)
def test_options_of_extraction_and_comparison(options: dict, expected: bool) -> None:
    assert judge([Case(kind="extract_and_compare", expected=True, **options)])[0][0] is expected


def test_one_kind_s_rules_are_not_another_s() -> None:
    kinds = ("string_equiv_hendrycks", "answer_only_equiv")
    cases = [Case(kind=kind, gold="4, 10, -2", pred="10, 4, -2", expected=True) for kind in kinds]
    assert [got for got, _ in judge(cases)] == [False, True]
