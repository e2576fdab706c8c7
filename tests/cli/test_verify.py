"""`afterbase verify`: what it prints for people and for programs."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from typer.testing import CliRunner

from afterbase.cli import verify as verify_commands
from afterbase.cli.main import app
from afterbase.core.sample import Problem
from afterbase.data.domains import DOMAINS
from hostile import NAME, SHOWN


def test_maths_for_programs_and_for_people(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"gold": "1", "pred": "1.0", "expected": true}\n{"gold": "1", "pred": "2", "expected": true}\n')
    told = CliRunner().invoke(app, ["verify", "maths", str(path), "--json"])
    assert told.exit_code == 0
    said = json.loads(told.stdout)
    assert (said["n"], said["agree"], [d["line"] for d in said["disagree"]]) == (2, 1, [2])
    people = CliRunner().invoke(app, ["verify", "maths", str(path)])
    assert people.stdout.splitlines()[:2] == ["n: 2", "agree: 1"]
    assert json.loads(people.stdout.splitlines()[2])["pred"] == "2"


def test_ifeval_for_programs(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    row = {"instruction_id": "punctuation:no_comma", "kwargs": {}, "response": "a, b"}
    path.write_text("".join(json.dumps({**row, "expected": expected}) + "\n" for expected in (False, True)))
    told = CliRunner().invoke(app, ["verify", "ifeval", str(path), "--json"])
    assert told.exit_code == 0
    said = json.loads(told.stdout)
    assert (said["n"], said["agree"], [d["line"] for d in said["disagree"]]) == (2, 1, [2])


def test_an_audit_tells_how_many_right_answers_each_verifier_refuses(tmp_path: Path, monkeypatch) -> None:
    def problem(rng) -> Problem:
        a = rng.randint(0, 10_000)
        gold = f"\\boxed{{{a + (a % 2)}}}"  # every second one is wrong
        return Problem(domain="arithmetic", prompt=f"{a}?", gold=gold, verifier="maths", spec={"answer": str(a)})

    domain: Any = SimpleNamespace(NAME="arithmetic", problem=problem, identity=lambda p: p.prompt)
    monkeypatch.setitem(DOMAINS, "arithmetic", domain)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text((Path(__file__).parents[2] / "recipes/rl.toml").read_text().replace("code = ", "arithmetic = "))
    told = CliRunner().invoke(app, ["verify", "audit", str(recipe), "--json"], catch_exceptions=False)
    said = json.loads(told.stdout)["arithmetic"]
    assert (said["verifier"], said["n"]) == ("maths", 298)
    assert 100 < said["rejected"] < 200
    assert said["false_negative_rate"] == said["rejected"] / 298
    assert said["low"] < said["false_negative_rate"] < said["high"]
    assert said["first"].startswith("mismatch: \\boxed{")


def test_an_audit_of_a_table_is_told_to_people_in_lines(tmp_path: Path) -> None:
    table = tmp_path / "sums.jsonl"
    table.write_text("".join(json.dumps({"prompt": f"{n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(4)))
    words = ["verify", "audit", str(table), "--verifier", "exact"]
    first, *lines = CliRunner().invoke(app, words, catch_exceptions=False).stdout.splitlines()
    assert first.startswith("sums: 4 right answers, as ")
    assert lines[0].startswith("  right answers refused: 0 (0.0 %, 95 % interval 0.0 to ")
    assert [line.split(":")[1] for line in lines[1:4]] == [" 0 of 4"] * 3
    assert lines[4].startswith("  a call takes ")
    assert len(lines) == 5


def test_what_an_audit_found_wrong_is_told_with_the_first_of_each() -> None:
    wrong = {"empty": {"n": 4, "accepted": 1, "first": "line 2"}}
    said = {"n": 0, "first": None, "wrong": wrong, "failed": {"raised": 3}, "first_failure": "raised: KeyError"}
    assert list(verify_commands._audit_lines(said)) == [
        "wrong answers accepted, empty: 1 of 4; the first: line 2",
        "failed, raised: 3",
        "the first failure: raised: KeyError",
    ]


def test_what_rows_say_is_shown_as_it_is_written(capsys) -> None:
    verify_commands._tell({NAME: NAME, "results": [{"id": "\x9b31m\u202e"}]}, as_json=False)
    assert capsys.readouterr().out == f'{SHOWN}: {SHOWN}\n{{"id": "[U+009B]31m[U+202E]"}}\n'
