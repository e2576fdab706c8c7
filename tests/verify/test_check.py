import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status
from afterbase.verify import check as module
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.check import audit, check, check_many

CODE = "```python\ndef f(x):\n    return x + 1\n```"


def problem(verifier: str, gold: str | None, **spec: object) -> Problem:
    return Problem(domain="toy", prompt=f"{verifier} {spec}", gold=gold, verifier=verifier, spec=spec)


MATHS = problem("maths", r"\boxed{4}", answer="4")
PYTHON = problem("python", CODE, function="f", tests=[{"args": [1], "expected": 2}])
PUZZLE = problem(
    "reasoning_gym",
    r"\boxed{Emma is a knight, and Liam is a knave}",
    dataset="knights_knaves",
    entry={"question": "", "answer": "Emma is a knight, and Liam is a knave.", "metadata": {}},
)
CHAT = problem(
    "rubric",
    "Good morning to you.",
    sentences=[1, 2],
    words=[1, 10],
    must_mention=[["morning"]],
    must_not=[],
    persona_marks=[],
)
PROGRAM = problem(
    "program", "```bash\nread x; echo $((x + 1))\n```", language="bash", tests=[{"stdin": "1\n", "stdout": "2\n"}]
)
IFEVAL = problem(
    "ifeval", "<<Tea>>\nNo milk.", instructions=[{"id": "detectable_format:title"}, {"id": "punctuation:no_comma"}]
)
EXACT = problem("exact", r"\boxed{Paris}", answer="Paris")
CHOICE = problem("choice", "The answer is D.", answer="D")
ALL = [EXACT, CHOICE, MATHS, PYTHON, PROGRAM, PUZZLE, CHAT, IFEVAL]


def test_each_verifier_accepts_its_gold_and_no_other() -> None:
    golds = [problem.gold or "" for problem in ALL]
    pairs = [(problem, gold) for gold in golds for problem in ALL]
    accepted = [verdict.status is Status.OK for verdict in check_many(pairs)]
    assert accepted == [problem.gold == gold for problem, gold in pairs]


def test_verdicts_name_their_verifier() -> None:
    assert [check(problem, "").verifier for problem in ALL] == [problem.verifier for problem in ALL]


def test_audit_reports_rejected_golds_only() -> None:
    broken = problem("maths", "The answer is 4.", answer="4")
    unknown = problem("maths", None, answer="4")
    assert [(p, v.reason) for p, v in audit([*ALL, broken, unknown])] == [(broken, "no_box")]


def test_an_unknown_verifier_is_refused() -> None:
    with pytest.raises(UserError, match="'guess'"):
        check(problem("guess", None), "4")


def test_without_isolation_no_program_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "missing_isolation", lambda: "no Landlock here")
    module._shared_sandbox.cache_clear()
    try:
        with pytest.raises(UserError, match="no Landlock here"):
            check(PYTHON, CODE)
    finally:
        module._shared_sandbox.cache_clear()


CUT, WHOLE = AnswerContext(truncated=True), AnswerContext(truncated=False)


@pytest.mark.parametrize(
    ("ways", "response", "verdict"),
    [
        (["last_number"], "so we have 4", ("wrong", "cut_off")),
        (["all"], "4", ("wrong", "cut_off")),
        (["box", "last_number"], "so we have 4", ("wrong", "no_box")),
        (["box", "last_number"], r"\boxed{4} and then", ("ok", "match")),
        (["answer_is", "last_number"], "The answer is 4.", ("ok", "match")),
    ],
)
def test_an_answer_that_was_cut_off_has_credit_only_for_what_it_marks(ways, response, verdict) -> None:
    asked = problem("maths", None, answer="4", answer_by=ways)
    (cut,) = check_many([(asked, response)], [CUT])
    assert (str(cut.status), cut.reason) == verdict
    (whole,) = check_many([(asked, response)], [WHOLE])
    assert whole.status is Status.OK
    generous = problem("maths", None, answer="4", answer_by=ways, credit_cut_off=True)
    assert check_many([(generous, response)], [CUT])[0].status is Status.OK


def test_a_problem_without_a_rule_has_no_verdict() -> None:
    verdict = check(problem("none", "gold"), "anything")
    assert (verdict.status, verdict.reason) == (Status.FAILED, "no_rule")
    assert audit([problem("none", "gold")]) == []


def test_own_functions_judge_beside_the_built_in_ones(tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "def score(*, response, truncated, row): return truncated and row['x'] in response\n"
    )
    own = problem("own", None, function=f"{tmp_path}/mine.py:score", row={"x": "tea"})
    pairs = [(own, "tea"), (MATHS, r"\boxed{4}"), (own, "<think>tea"), (own, "milk")]
    assert [str(v.status) for v in check_many(pairs, [CUT] * 4)] == ["ok", "ok", "ok", "wrong"]
    assert str(check(own, "tea").status) == "wrong"
