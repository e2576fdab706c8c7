"""`afterbase verify`: what it prints for people and for programs."""

import json
from pathlib import Path

from typer.testing import CliRunner

from afterbase.cli import app


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
