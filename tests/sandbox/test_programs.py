import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox import languages
from afterbase.sandbox.program_run import ProgramRun
from afterbase.sandbox.programs import Case, Program, ProgramRunner, _verdict
from confinements import SMALL, confinement_or_skip

DOUBLE = "print(2 * int(input()))"
CASES = [Case("1\n", "2\n"), Case("2\n", "4\n"), Case("3\n", "6\n"), Case("4\n", "8\n")]


@pytest.fixture(scope="module")
def judge() -> ProgramRunner:
    return ProgramRunner(confinement=confinement_or_skip(), workers=3, limits=SMALL)


def test_verdicts_come_in_the_order_of_the_programs(judge: ProgramRunner) -> None:
    texts = [DOUBLE, "print(2)", "print(3", f"```py\n{DOUBLE}\n```", "", "exit()"]
    verdicts = judge.verdicts([Program("python", text, CASES) for text in texts])
    assert [verdict.reason for verdict in verdicts] == ["match", "mismatch", "compile", "match", "mismatch", "mismatch"]
    assert [verdict.value for verdict in verdicts] == [1, 0, 0, 1, 0, 0]
    assert {verdict.verifier for verdict in verdicts} == {"program"}


def test_the_first_failure_ends_a_program_unless_all_tests_are_asked_for(judge: ProgramRunner) -> None:
    crashes_at_two = "x = int(input())\nprint(2 * x if x != 2 else 1 / 0)"
    program = Program("python", crashes_at_two, CASES)
    assert judge.reasons([program], all_tests=False) == [["match", "crash"]]
    assert judge.reasons([program], all_tests=True) == [["match", "crash", "match", "match"]]
    (verdict,) = judge.verdicts([program], scoring="fraction")
    assert (verdict.status, verdict.value, verdict.reason) == (Status.WRONG, 0.75, "crash")


def test_a_source_that_cannot_be_built_fails_every_test(judge: ProgramRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afterbase.sandbox.programs.ProgramRun.fault_of_building", lambda self: "compile")
    assert judge.reasons([Program("python", DOUBLE, CASES)], all_tests=True) == [["compile"] * 4]
    assert judge.reasons([Program("python", DOUBLE, CASES)], all_tests=False) == [["compile"]]


def test_our_own_fault_is_no_zero() -> None:
    failed = Verdict(verifier="program", status=Status.FAILED, value=0.5, reason="sandbox")
    assert _verdict(["match", "sandbox"], tests=2, scoring="fraction") == failed


def test_nothing_is_run_where_a_tool_is_missing(judge: ProgramRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        languages.shutil, "which", lambda binary, **_: None if binary == "php" else f"/usr/bin/{binary}"
    )
    monkeypatch.setattr("afterbase.sandbox.programs.work_dir", lambda: pytest.fail("run"))
    with pytest.raises(UserError, match="php-cli"):
        judge.verdicts([Program("python", DOUBLE, CASES), Program("php", "<?php", CASES)])


def test_a_program_of_a_megabyte_and_one_in_all_scripts(judge: ProgramRunner) -> None:
    texts = [f"x = 2\n# {'y' * 1_000_000}\nprint(x)", "größe = '🙂'\nprint(2 if größe else 0)"]
    assert [v.reason for v in judge.verdicts([Program("python", text, CASES[:1]) for text in texts])] == ["match"] * 2


def test_one_program_s_trouble_with_the_machine_is_no_other_s(
    judge: ProgramRunner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(run: ProgramRun) -> None:
        if "full" in run.text:
            raise OSError("No space left on device")

    monkeypatch.setattr("afterbase.sandbox.programs.ProgramRun.fault_of_building", build)
    monkeypatch.setattr("afterbase.sandbox.programs.ProgramRun.reason", lambda run, **_: "match")
    verdicts = judge.verdicts([Program("python", text, CASES) for text in ("right", "full", "right")])
    assert [verdict.status for verdict in verdicts] == [Status.OK, Status.FAILED, Status.OK]
    assert "No space left" in caplog.text
