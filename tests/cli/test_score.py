"""`afterbase score`: exactly the documented JSON on stdout, notes on stderr, and the reference data's numbers."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from afterbase.cli import score as score_commands
from afterbase.cli.main import app
from afterbase.core.errors import UserError
from afterbase.reward.scalar import new_reward_model, save_reward_model
from hostile import NAME, ON_ONE_LINE, SHOWN


def _said(*arguments: str | Path) -> tuple[dict, str]:
    """What is printed with --json, and the notes beside it."""
    told = CliRunner().invoke(app, ["score", *map(str, arguments), "--json"], catch_exceptions=False)
    assert told.exit_code == 0, told.stderr
    return json.loads(told.stdout), told.stderr


def _alpaca(folder: Path) -> list[str | Path]:
    return ["--difficulty", folder / "instructions.csv", "--regulariser", folder / "df_gamed_reconstructed.csv.gz"]


def _edited(source: Path, target: Path, edit) -> Path:
    """The rows of a gzipped table after `edit` of its list of lines below the header."""
    head, *lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    target.write_bytes(gzip.compress("\n".join([head, *edit(lines)]).encode()))
    return target


def test_alpaca_eval_of_several_models_as_json_and_as_table(afterbase_data: Path) -> None:
    folder = afterbase_data / "alpaca_eval"
    models = [folder / "alpaca-7b.csv.gz", folder / "claude-2.1.csv.gz"]
    said, notes = _said("alpaca-eval", *models, *_alpaca(folder), "--C", "2.7825594")
    assert notes == ""
    assert list(said) == ["alpaca-7b", "claude-2.1"]
    keys = "win_rate standard_error length_controlled_win_rate lc_standard_error n_total C"
    assert list(said["claude-2.1"]) == keys.split()
    assert said["claude-2.1"]["length_controlled_win_rate"] == pytest.approx(25.251943886, abs=0.02)
    folds = ["--folds", folder / "cv_folds_reference.csv.gz"]
    assert _said("alpaca-eval", models[1], *_alpaca(folder), *folds) == _said(
        "alpaca-eval", models[1], *_alpaca(folder)
    )
    people = CliRunner().invoke(app, ["score", "alpaca-eval", *map(str, [*models, *_alpaca(folder)])])
    assert "25.25" in people.stdout


def test_alpaca_eval_of_rows_shuffled_missing_and_unrated(afterbase_data: Path, tmp_path: Path) -> None:
    folder = afterbase_data / "alpaca_eval"
    source = folder / "claude-2.1.csv.gz"
    (whole,) = _said("alpaca-eval", source, *_alpaca(folder))[0].values()
    shuffled = _edited(source, tmp_path / "claude-2.1.csv.gz", lambda lines: lines[::-1])
    assert list(_said("alpaca-eval", shuffled, *_alpaca(folder))[0].values()) == [whole]
    dropped = _edited(source, tmp_path / "dropped.csv.gz", lambda lines: lines[:100] + lines[102:])
    said, notes = _said("alpaca-eval", dropped, *_alpaca(folder), "--C", str(whole["C"]))
    assert notes == "note: dropped: 803 of 805 instructions have a preference\n"
    assert said["dropped"]["n_total"] == 803
    assert said["dropped"]["length_controlled_win_rate"] == pytest.approx(whole["length_controlled_win_rate"], abs=0.2)

    def renumbered(lines: list[str]) -> list[str]:
        return [f"{i},{line.split(',', 1)[1]}" for i, line in enumerate(lines[:100] + lines[102:])]

    with pytest.raises(UserError, match="the one to the instruction of its index"):
        _said("alpaca-eval", _edited(source, tmp_path / "shifted.csv.gz", renumbered), *_alpaca(folder))


@pytest.mark.parametrize("C", ["0", "-1", "nan", "inf"])
def test_alpaca_eval_refuses_what_is_no_penalty(tmp_path: Path, C: str) -> None:
    with pytest.raises(UserError, match="C is a number above 0"):
        _said("alpaca-eval", tmp_path / "x", "--difficulty", "d", "--regulariser", "r", "--C", C)


def test_arena_hard_01_scores_and_the_reference_codes_intervals(afterbase_data: Path) -> None:
    folder = afterbase_data / "arena_hard"
    said, notes = _said("arena-hard", folder / "v01_battles.csv.gz", "--version", "0.1")
    assert "note: llama3_70b: 498 of 500 questions have a verdict" in notes.splitlines()
    for row in json.loads((folder / "v01_expected.json").read_text()):
        got = said[row["model"]]
        assert list(got) == ["score", "ci_low", "ci_high"]
        assert got["score"] == pytest.approx(row["exact_win_fraction_pct"], abs=1e-9)
        assert got["score"] == pytest.approx(row.get("published_score", row["ref_score"]), abs=0.0051)
        assert got["ci_low"] == pytest.approx(row["ref_boot_lower_q2_5"], abs=0.0051)  # the same draws
        assert got["ci_high"] == pytest.approx(row["ref_boot_upper_q97_5"], abs=0.0051)
    assert said["gpt-4-0314"] == {"score": 50, "ci_low": 50, "ci_high": 50}


def test_arena_hard_20_scores_by_category_and_at_equal_style(afterbase_data: Path) -> None:
    folder = afterbase_data / "arena_hard"
    judgments, style = folder / "v2_synthetic_judgments.jsonl.gz", folder / "v2_style_metadata.jsonl.gz"
    expected = json.loads((folder / "v2_expected.json").read_text())
    for category in ("hard_prompt", "creative_writing"):
        said, _ = _said("arena-hard", judgments, "--version", "2.0", "--category", category)
        for model, row in expected[category]["exact"].items():
            assert said[model]["score"] == pytest.approx(row["mean_pct"], abs=1e-9)
            assert said[model]["ci_low"] == pytest.approx(100 * expected[category]["q05"][model], abs=1e-9)
            assert said[model]["ci_high"] == pytest.approx(100 * expected[category]["q95"][model], abs=1e-9)
    options = ["--version", "2.0", "--category", "hard_prompt", "--style", style]
    said, _ = _said("arena-hard", judgments, *options)
    for model, percent in expected["hard_prompt_style_control"]["exact_mle_newton"]["winrate"].items():
        assert said[model]["score"] == pytest.approx(percent, abs=1e-5)


def test_arena_hard_01_rules_on_judgments(afterbase_data: Path) -> None:
    folder = afterbase_data / "arena_hard"
    expected = json.loads((folder / "v2_expected.json").read_text())["v01_code_on_same_hard_prompt_verdicts"]
    options = [folder / "v2_synthetic_judgments.jsonl.gz", "--version", "0.1", "--category", "hard_prompt"]
    for kind, more in (("plain", []), ("style_control", ["--style", folder / "v2_style_metadata.jsonl.gz"])):
        said, _ = _said("arena-hard", *options, *more)
        for model, percent in expected[kind].items():  # rounded, and L-BFGS leaves some of the optimum
            assert said[model]["score"] == pytest.approx(percent, abs=0.01)


@pytest.mark.parametrize("version", ["0.1", "2.0"])
def test_arena_hard_verdicts(afterbase_data: Path, version: str) -> None:
    cases = afterbase_data / "arena_hard" / "verdict_cases.jsonl"
    assert _said("arena-hard", "--verdicts", cases, "--version", version)[0] == {"n": 148, "agree": 148}
    people = CliRunner().invoke(app, ["score", "arena-hard", "--verdicts", str(cases), "--version", version])
    assert people.stdout == "n: 148\nagree: 148\n"


@pytest.mark.parametrize("arguments", [[], ["x", "--verdicts", "y"], ["--verdicts", "y", "--category", "z"]], ids=str)
def test_arena_hard_takes_a_file_or_verdicts(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="a file to score, or --verdicts alone"):
        _said("arena-hard", "--version", "0.1", *arguments)


@pytest.mark.parametrize(("k", "name"), [(1, "first_vote_only"), (5, "maj@5_first5_tie_half"), (6, "maj@6_tie_half")])
def test_reward_bench_of_votes(afterbase_data: Path, k: int, name: str) -> None:
    folder = afterbase_data / "rewardbench"
    expected = json.loads((folder / "votes_expected.json").read_text())[name]
    said, notes = _said("reward-bench", folder / "votes_k6.jsonl.gz", "--k", str(k))
    assert notes == ""
    assert list(said) == ["subsets", "sections", "average"]
    assert said["subsets"] == pytest.approx(expected["subset"], abs=1e-9)
    assert said["sections"] == pytest.approx(expected["sections"], abs=1e-9)
    assert said["average"] == pytest.approx(expected["average_of_4_sections"], abs=1e-9)
    people = CliRunner().invoke(app, ["score", "reward-bench", str(folder / "votes_k6.jsonl.gz"), "--k", str(k)])
    assert f"{expected['average_of_4_sections']:.2f}" in people.stdout


def test_reward_bench_of_accuracies(afterbase_data: Path) -> None:
    path = afterbase_data / "rewardbench" / "aggregation_cases.json"
    told = CliRunner().invoke(app, ["score", "reward-bench", "--metrics", str(path), "--json"])
    said, cases = json.loads(told.stdout), json.loads(path.read_text())
    assert [one["sections"] for one in said] == [
        pytest.approx(case["expected"]["sections"], abs=1e-9) for case in cases
    ]
    assert said[0]["subsets"] == cases[0]["metrics"]
    assert said[0].keys() == {"subsets", "sections", "average"}


@pytest.mark.parametrize("arguments", [[], ["x", "--metrics", "y"], ["--metrics", "y", "--k", "2"]], ids=str)
def test_reward_bench_takes_votes_or_accuracies(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="a file of votes, or --metrics alone"):
        _said("reward-bench", *arguments)


def test_reward_bench_2_of_rewards(tmp_path: Path) -> None:
    rows = [{"subset": "Math", "id": i, "scores": [1.0, i, 0, 0]} for i in range(3)]
    path = tmp_path / "rewards.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said, notes = _said("reward-bench-2", path)
    assert said == {"Math": 50.0, "average": 50.0}
    assert notes == "note: the average is without Factuality, Precise IF, Safety, Focus, Ties\n"
    assert "50.00" in CliRunner().invoke(app, ["score", "reward-bench-2", str(path)]).stdout


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([{"subset": "Math", "id": 1, "scores": [1.0, 0.0]}] * 2, "nothing is judged twice"),
        ([{"subset": "Maths", "id": 1, "scores": [1.0, 0.0]}], "a row has"),
        ([{"subset": "Math", "id": 1, "scores": [1.0, 0.0], "num_correct": 2}], "a row has"),
        ([{"subset": "Math", "id": 1, "scores": [float("nan"), 0.0]}], "a row has"),
    ],
    ids=["twice", "unknown", "no wrong one", "nan"],
)
def test_reward_bench_2_refuses(tmp_path: Path, rows: list, rule: str) -> None:
    path = tmp_path / "rewards.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=rule):
        _said("reward-bench-2", path)


def test_names_from_data_are_shown_as_they_are_written(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    score_commands._tell({NAME: {NAME: NAME}}, as_json=False)
    score_commands._note(NAME)
    told = capsys.readouterr()
    assert told.out.count(ON_ONE_LINE) == 3
    assert told.err == f"note: {SHOWN}\n"


def test_reward_scores_each_row_and_ranks_pairs(toy_lm, tmp_path):
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    save_reward_model(rm, tmp_path / "model")
    pairs = [{"prompt": "1+1?", "chosen": str(n), "rejected": "x" * n} for n in range(1, 7)]
    pairs[3]["rejected"] = pairs[3]["chosen"]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    told, notes = _said("reward", tmp_path / "model", file)
    assert (told["rows"], told["pairs"]) == (5, 5)
    assert told["accuracy"] == sum(row["chosen"] > row["rejected"] for row in told["scores"]) / 5
    assert told["low"] <= told["accuracy"] <= told["high"]
    assert told["dropped"] == [{"row": "pairs.jsonl:line 4", "rule": "`chosen` and `rejected` are equal"}]
    assert "pairs.jsonl:line 4" in notes
    out = tmp_path / "scores.jsonl"
    apart, _ = _said("reward", tmp_path / "model", file, "--out", out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == told["scores"]
    assert apart == {key: value for key, value in told.items() if key != "scores"}
    shown = CliRunner().invoke(app, ["score", "reward", str(tmp_path / "model"), str(file)])
    assert [json.loads(line) for line in shown.stdout.splitlines()] == told["scores"]
    assert "accuracy" in shown.stderr


def test_a_language_model_gives_no_rewards(toy_folder, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1+1?", "completion": "2"}\n')
    told = CliRunner().invoke(app, ["score", "reward", str(toy_folder), str(tmp_path / "rows.jsonl")])
    assert isinstance(told.exception, UserError)
    assert "reward model" in told.exception.rule
