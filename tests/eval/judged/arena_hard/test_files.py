"""Battles, judgments and style from their files; what would shift a score is refused, what is left out is told."""

import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.judged.arena_hard.files import agreement, read_battles, read_style


def _lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _judged(uid: str, first: str | None, second: str | None, model: str = "m", **more) -> dict:
    games = [{"score": first, "judgment": "..."}, {"score": second}]
    return {"uid": uid, "model": model, "judge": "j", "category": "hard_prompt", "games": games} | more


def _counts(model: str, uid: str, tokens: int, **more) -> dict:
    counts = {"token_len": tokens, "header_count": {"h1": 1, "h2": 2}, "list_count": 4, "bold_count": {"**": 0}}
    return {"model": model, "uid": uid, "metadata": counts} | more


def _table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["question_id,model,winner", *rows]))
    return path


def test_table_of_battles(tmp_path: Path) -> None:
    read = read_battles(_table(tmp_path / "b.csv", "q1,m,model", "q1,m,tie", "q2,n,baseline", "q1,n,tie"), "0.1", None)
    battles = read.battles
    assert (battles.baseline, battles.models, battles.questions) == ("gpt-4-0314", ["m", "n"], ["q1", "q2"])
    assert battles.outcome_B.tolist() == [1, 0.5, 0, 0.5]
    assert battles.model_B.tolist() == [0, 0, 1, 1]
    assert read.notes == ["m: 1 of 2 questions have a verdict"]


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (["q1,m,model"] * 7, "a question is two games"),
        (["q1,m,tie"] * 3, "a question is two games"),
        (["q1,m,model", "q1,m,tie"] * 2, "a question is two games"),
        (["q1,m,draw"], "a row has question_id"),
        (["q1,,tie"], "a row has question_id"),
        (["q1,gpt-4-0314,tie"], "scored by its battles"),
    ],
)
def test_table_that_would_shift_a_score_is_refused(tmp_path: Path, rows: list[str], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        read_battles(_table(tmp_path / "b.csv", *rows), "0.1", None)
    with pytest.raises(UserError, match=r"is of version 0\.1"):
        read_battles(_table(tmp_path / "b.csv", *rows), "2.0", None)


def test_judgments_of_a_file_or_a_folder_in_both_versions(tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    folder.mkdir()
    rows = [_judged("1", "A>>B", "A>B"), _judged("2", "A=B", None), _judged("3", None, "B>A", games=[None, None])]
    _lines(folder / "m.jsonl", *rows)
    _lines(folder / "n.jsonl", _judged("1", "B>A", "A>B", "n"))
    old = read_battles(folder, "0.1", None)
    assert old.battles.outcome_B.tolist() == [0, 0, 0, 1, 0.5, 1, 1]
    assert "m: 3 games without a verdict" in old.notes
    new = read_battles(folder, "2.0", "hard_prompt")
    assert (new.battles.baseline, new.battles.models) == ("o3-mini-2025-01-31", ["m", "n"])
    assert new.battles.outcome_B.tolist() == [1, 0, 0, 0, 1, 1]
    assert read_battles(folder / "n.jsonl", "2.0", None).battles.outcome_B.tolist() == [1, 1]


def test_version_01_judgments_know_their_baseline(tmp_path: Path) -> None:
    row = {"question_id": "1", "model": "m", "judge": "j", "games": [{"score": "A>B"}, {"score": "A>B"}]}
    path = _lines(tmp_path / "m.jsonl", row)
    assert read_battles(path, "0.1", None).battles.baseline == "gpt-4-0314"
    with pytest.raises(UserError, match="meet one baseline"):
        read_battles(path, "2.0", None)
    path = _lines(tmp_path / "m.jsonl", row | {"baseline": "b"})
    assert read_battles(path, "2.0", None).battles.baseline == "b"


def test_a_label_that_is_unknown_drops_the_game_or_is_refused(tmp_path: Path) -> None:
    path = _lines(tmp_path / "m.jsonl", _judged("1", "A>>A", "A>B"), _judged("2", "A=B", "A=B"))
    read = read_battles(path, "0.1", None)
    assert read.battles.outcome_B.tolist() == [1, 0.5, 0.5]
    assert read.notes == ["m: 1 games without a verdict"]
    with pytest.raises(UserError, match="what every label is worth"):
        read_battles(path, "2.0", None)


def test_baseline_and_judge_as_models_are_left_out_and_told(tmp_path: Path) -> None:
    rows = [_judged("1", "A>B", "A>B", name) for name in ("m", "o3-mini-2025-01-31", "j")]
    read = read_battles(_lines(tmp_path / "m.jsonl", *rows), "2.0", None)
    assert read.battles.models == ["m"]
    assert len(read.notes) == 2


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([_judged("1", "A>B", "A>B")] * 2, "judged twice"),
        ([_judged("1", "A>B", "A>B"), _judged("1", "A>B", "A>B", category="creative_writing")], "one category"),
        ([_judged("1", "A>B", "A>B"), _judged("2", "A>B", "A>B", judge="k")], "one judge's"),
        ([_judged("1", "A>B", "A>B"), _judged("2", "A>B", "A>B", baseline="b")], "meet one baseline"),
        ([_judged("1", None, None)], "scored by its battles"),
        ([_judged("1", "A>B", "A>B"), _judged("1", None, None, "n")], "scored by its battles"),
        ([_judged("1", "A>B", "A>B", games=[{"score": "A>B"}])], "a row has question"),
        ([_judged("1", "A>B", "A>B", games=[{}, {"score": "A>B"}])], "a row has question"),
    ],
)
def test_judgments_that_would_shift_a_score_are_refused(tmp_path: Path, rows: list[dict], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        read_battles(_lines(tmp_path / "m.jsonl", *rows), "2.0", None)


def test_category_and_folder_have_to_be_there(tmp_path: Path) -> None:
    path = _lines(tmp_path / "m.jsonl", _judged("1", "A>B", "A>B"))
    with pytest.raises(UserError, match="one of the file's"):
        read_battles(path, "2.0", "hard_prompts")
    (tmp_path / "judges").mkdir()
    (tmp_path / "judges/gpt").mkdir()
    with pytest.raises(UserError, match="holds JSONL files"):
        read_battles(tmp_path / "judges", "2.0", None)


def test_style_of_each_battle(tmp_path: Path) -> None:
    battles = read_battles(_lines(tmp_path / "m.jsonl", _judged("1", "A>>B", "A>B")), "2.0", None).battles
    answers = [_counts("m", "1", 10), _counts("o3-mini-2025-01-31", "1", 20)]
    old_name = {"model_id": "m", "question_id": "1", "conv_metadata": answers[0]["metadata"]}
    for rows in (answers, [old_name, answers[1]], [*answers, answers[0]]):
        own, baseline = read_style(_lines(tmp_path / "style.jsonl", *rows), battles)
        assert own.tolist() == [[10, 3, 4, 0]] * 4
        assert baseline.tolist() == [[20, 3, 4, 0]] * 4
    for rows, rule in (
        (answers[:1], "metadata of every answer"),
        ([*answers, _counts("m", "1", 11)], "has one style"),
        ([*answers, _counts("x", "1", -1)], "counts are 0 or more"),
    ):
        with pytest.raises(UserError, match=rule):
            read_style(_lines(tmp_path / "style.jsonl", *rows), battles)


def test_cases_of_verdicts(tmp_path: Path) -> None:
    rows = [
        {"judgment_tail": "[[A>B]] no, [[B>A]]", "v01_rule": None, "v2_rule": "B>A"},
        {"judgment": None, "v01_rule": None, "v2_rule": "A=B"},
    ]
    path = _lines(tmp_path / "cases.jsonl", *rows)
    assert agreement(path, "0.1") == {"n": 2, "agree": 2}
    assert agreement(path, "2.0") == {"n": 2, "agree": 1}
    _lines(path, *rows, {"judgment": "x", "v2_rule": None})
    with pytest.raises(UserError, match="each case has v01_rule"):
        agreement(path, "0.1")
