import json
from dataclasses import replace
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox.languages import SPELLINGS
from afterbase.sandbox.programs import ProgramRunner
from afterbase.verify.cases.program_cases import judged
from confinements import confinement_or_skip

ROW = {"id": "a", "language": "python", "program": "print(3)", "tests": [{"stdin": "", "stdout": "3"}]}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_row_gets_its_verdict_in_order(tmp_path: Path) -> None:
    judge = ProgramRunner(confinement=confinement_or_skip(), workers=2)
    rows = [ROW, {**ROW, "id": 7, "language": "Bash", "program": "echo 4"}, {**ROW, "id": "c", "program": "1 / 0"}]
    assert judged(written(tmp_path, *rows), judge.verdicts, pytest.fail) == {
        "n": 3,
        "results": [
            {"id": "a", "status": "ok", "reason": "match"},
            {"id": 7, "status": "wrong", "reason": "mismatch"},
            {"id": "c", "status": "wrong", "reason": "crash"},
        ],
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tests": []}, "line 2 of .*: tests: must have a length of at least 1"),
        ({"language": "cobol"}, "line 2 of .*: language: .*'cobol' is none of"),
        ({"program": None}, "line 2 of .*: program"),
        ({"tests": [{"stdin": 1, "stdout": ""}]}, r"line 2 of .*: tests\.0\.stdin"),
    ],
)
def test_a_row_that_cannot_be_judged_is_refused_before_any_run(tmp_path: Path, change, complaint) -> None:
    with pytest.raises(UserError, match=complaint):
        judged(written(tmp_path, ROW, {**ROW, **change}), lambda programs: pytest.fail("run"), pytest.fail)


def test_programs_whose_tools_are_missing_are_failed_and_told_before_the_others_run(
    tmp_path: Path, monkeypatch
) -> None:
    without = replace(SPELLINGS["php"], binaries={"no-such-php": "php-cli"})
    monkeypatch.setitem(SPELLINGS, "php", without)
    told: list[str] = []

    def verdicts(programs):
        assert told == [
            "programs in php need `no-such-php`: no such command; install it (Debian: apt-get install php-cli), "
            "or leave those programs out"
        ]
        return [Verdict(verifier="program", status=Status.OK, value=1.0, reason="match") for _ in programs]

    rows = [{**ROW, "language": "PHP"}, {**ROW, "id": "b"}]
    assert judged(written(tmp_path, *rows), verdicts, told.append)["results"] == [
        {"id": "a", "status": "failed", "reason": "toolchain"},
        {"id": "b", "status": "ok", "reason": "match"},
    ]
