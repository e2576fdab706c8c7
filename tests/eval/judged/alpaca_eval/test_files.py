"""Rows find their instruction, however they come; what would shift a score is refused."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from afterbase.core.errors import UserError
from afterbase.eval.judged.alpaca_eval.files import Instructions, read_folds, read_models, read_regulariser

TEXTS = ["Why?", "Name a river.", "Écris un mot.", "2 + 2"]
BASE = ["because", "the Nile", "été", "it is 4"]
MODEL = ["dunno", "Elbe", "mot", "4"]
HEAD = "index,len_baseline,len_model,preference"


def _instructions(tmp_path: Path, *, digests: bool = True, lengths: bool = True) -> Instructions:
    lines = ["index,instruction_difficulty,instruction_sha1,len_baseline"]
    for i, text in enumerate(TEXTS):
        digest = hashlib.sha1(text.encode()).hexdigest()[:12] if digests else ""
        lines.append(f"{i},{i / 2},{digest},{len(BASE[i]) if lengths else ''}")
    path = tmp_path / "instructions.csv"
    path.write_text("\n".join(lines))
    return Instructions(path)


def _table(tmp_path: Path, *lines: str, name: str = "m.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join([HEAD, *lines]))
    return path


def _pair(
    tmp_path: Path,
    rows: Iterable[int] = range(4),
    *,
    preference: float | None = 1.25,
    model="m",
    baseline="b",
    judged=MODEL,
) -> list[Path]:
    outputs = [{"instruction": t, "output": o, "generator": model} for t, o in zip(TEXTS, MODEL, strict=True)]
    annotations = [
        {
            "instruction": TEXTS[i], "output_1": BASE[i], "output_2": judged[i], "generator_1": baseline,
            "generator_2": model, "preference": preference, "annotator": "x",
        }
        for i in rows
    ]  # fmt: skip
    paths = [tmp_path / "model_outputs.json", tmp_path / "annotations.json"]
    for path, content in zip(paths, (outputs, annotations), strict=True):
        path.write_text(json.dumps(content))
    return paths


def test_rows_find_their_instruction_shuffled_and_with_gaps(tmp_path: Path) -> None:
    path = _table(tmp_path, "3,7,1,2.0", "0,7,5,", "1,8,4,0")
    (got,) = read_models([path], _instructions(tmp_path))
    assert (got.model, got.is_baseline) == ("m", False)
    assert got.index_N.tolist() == [0, 1, 3]
    assert got.difficulty_N.tolist() == [0, 0.5, 1.5]
    assert got.length_difference_N.tolist() == [2, 4, 6]
    np.testing.assert_array_equal(got.y_N, [np.nan, 0.5, 1])


@pytest.mark.parametrize("digests", [True, False])
def test_public_pair_is_the_same_as_the_table(tmp_path: Path, digests: bool) -> None:
    instructions = _instructions(tmp_path, digests=digests)
    rows = ["0,7,5,1.25", "2,3,3,1.25", "3,7,1,1.25"]
    (table,) = read_models([_table(tmp_path, *rows)], instructions)
    (pair,) = read_models(_pair(tmp_path, (3, 0, 2)), instructions)
    assert pair.model == table.model
    for field in ("index_N", "difficulty_N", "length_difference_N", "y_N"):
        np.testing.assert_array_equal(getattr(pair, field), getattr(table, field))


def test_null_preference_of_a_pair_is_a_judge_that_answered_neither(tmp_path: Path) -> None:
    (got,) = read_models(_pair(tmp_path, preference=None), _instructions(tmp_path))
    assert np.isnan(got.y_N).all()
    (got,) = read_models(_pair(tmp_path, preference=float("nan")), _instructions(tmp_path))
    assert np.isnan(got.y_N).all()


def test_the_baseline_is_known_by_its_name_its_answers_or_its_generator(tmp_path: Path) -> None:
    instructions = _instructions(tmp_path)
    even = ["0,7,7,1.5", "1,8,8,0"]
    for name in ("gpt4_1106_preview.csv", "other.csv"):
        assert read_models([_table(tmp_path, *even, name=name)], instructions)[0].is_baseline
    assert read_models(_pair(tmp_path, preference=1.5, model="b"), instructions)[0].is_baseline
    with pytest.raises(UserError, match="even everywhere"):
        read_models([_table(tmp_path, "0,7,7,1.5", "1,8,8,1.7", name="gpt4_1106_preview.csv")], instructions)


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (["0,7,5,1.5", "0,7,5,1.5"], "judged twice"),
        (["0,8,5,1.5"], "the one to the instruction of its index"),  # numbered anew after a row was dropped
        (["4,7,5,1.5"], "index is an instruction's"),
        (["-1,7,5,1.5"], "index is an instruction's"),
        (["0,7,5,0.7"], "a preference lies in"),
        (["0,7,5,2.1"], "a preference lies in"),
        (["0,7,5,inf"], "a preference lies in"),
        (["0,7,,1.5"], "a row has index"),
        (["0,7,-1,1.5"], "a length is 0 or more"),
        (["0,7,5"], "3 fields for 4 columns"),
        ([], "has at least one"),
    ],
)
def test_what_would_shift_a_score_is_refused(tmp_path: Path, lines: list[str], rule: str) -> None:
    with pytest.raises(UserError, match=rule):
        read_models([_table(tmp_path, *lines)], _instructions(tmp_path))


def test_pairs_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    instructions = _instructions(tmp_path)
    outputs, annotations = _pair(tmp_path)
    with pytest.raises(UserError, match="annotations come with"):
        read_models([annotations], instructions)
    with pytest.raises(UserError, match="outputs come with"):
        read_models([outputs], instructions)
    with pytest.raises(UserError, match="judge the answers of"):
        read_models(_pair(tmp_path, judged=["another", *MODEL[1:]]), instructions)
    with pytest.raises(UserError, match="judged twice"):
        read_models(_pair(tmp_path, [0, 1, 1]), instructions)
    with pytest.raises(UserError, match="the model is generator_2"):
        read_models(_pair(tmp_path, model="gpt4_1106_preview"), instructions)
    with pytest.raises(UserError, match="judged twice"):
        read_models([_table(tmp_path, "0,7,5,1.5"), *_pair(tmp_path)], instructions)


def test_an_instruction_of_another_benchmark_is_refused(tmp_path: Path, monkeypatch) -> None:
    instructions = _instructions(tmp_path)
    monkeypatch.setattr(f"{__name__}.TEXTS", ["Who?", *TEXTS[1:]])
    with pytest.raises(UserError, match="found by its SHA-1"):
        read_models(_pair(tmp_path), instructions)


def test_instructions_without_gaps_and_folds_for_every_row(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("index,instruction_difficulty\n0,1\n2,1\n")
    with pytest.raises(UserError, match="without a gap"):
        Instructions(path)
    path.write_text("train_row,fold\n1,0\n0,1\n2,1\n")
    assert read_folds(path, n=3).tolist() == [1, 0, 1]
    with pytest.raises(UserError, match="folds name each row"):
        read_folds(path, n=4)
    path.write_text("train_row,fold\n0,1\n1,1\n")
    with pytest.raises(UserError, match="two folds"):
        read_folds(path, n=2)


def test_regulariser_in_the_order_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "gamed.csv"
    path.write_text("model,preference,std_delta_len,instruction_difficulty\nb,0.9,-1,0.5\na,,2,0\n")
    got = read_regulariser(path)
    assert got.length_difference_G.tolist() == [-1, 2]
    np.testing.assert_array_equal(got.y_G, [0.9, np.nan])
    path.write_text("preference,std_delta_len,instruction_difficulty\n1.9,-1,0.5\n")
    with pytest.raises(UserError, match=r"lie in \[0, 1\]"):
        read_regulariser(path)
