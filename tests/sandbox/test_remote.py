"""Programs on another machine get the verdicts that they get here; a server's fault is never the program's."""

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from afterbase.core.errors import UserError
from afterbase.core.sample import Status
from afterbase.sandbox import remote
from afterbase.sandbox.programs import Case, Program, ProgramRunner
from afterbase.sandbox.python_calls import CallRunner, Reason, Run
from afterbase.sandbox.remote import RemoteSandbox, remote_or
from afterbase.sandbox.server import create_app
from afterbase.verify.python_code import Item, check_python_many
from confinements import SMALL, confinement_or_skip
from loopback import served

ECHO = "print(input())"


@pytest.fixture(scope="module")
def server():
    with (
        CallRunner(workers=1) as sandbox,
        served(
            create_app(
                ProgramRunner(confinement=confinement_or_skip(), workers=1, limits=SMALL), sandbox, token="sesame"
            )
        ) as url,
    ):
        yield url


def test_verdicts_are_those_of_a_judge_here(server: str) -> None:
    tests = [Case("a\n", "a\n"), Case("b\n", "c\n")]
    programs = [
        Program("python", ECHO, tests[:1]),
        Program("bash", "cat", tests),
        Program("python", "while True: pass", tests[:1]),
        Program("python", "(", tests[:1]),
    ]
    here = ProgramRunner(confinement=confinement_or_skip(), workers=2, limits=SMALL)
    there = RemoteSandbox(server, "sesame")
    for scoring in ("all", "fraction"):
        assert there.verdicts(programs, scoring=scoring) == here.verdicts(programs, scoring=scoring)
    assert [v.reason for v in there.verdicts(programs)] == ["match", "mismatch", "timeout", "compile"]
    assert there.verdicts([]) == []


def test_function_calls_come_back_as_json(server: str) -> None:
    there = RemoteSandbox(server, "sesame")
    answer = "```python\ndef f(x):\n    return x, x + 1\n```"
    (verdict,) = check_python_many([Item(answer, "f", [{"args": [1], "expected": [1, 2]}])], there)
    assert verdict.status is Status.OK
    (crashed,) = there.run_many([Run(program="1 / 0", function="f", calls=[[]])])
    assert crashed.reason is Reason.CRASH


def test_programs_at_once_are_kept_apart(server: str) -> None:
    programs = [Program("python", ECHO, [Case(f"{i}\n", f"{i}\n")]) for i in range(40)]
    assert {v.reason for v in RemoteSandbox(server, "sesame").verdicts(programs)} == {"match"}


def test_a_wrong_token_and_an_unknown_language_are_told_as_here(server: str) -> None:
    with pytest.raises(UserError, match="wants its token"):
        RemoteSandbox(server, "wrong")
    with pytest.raises(UserError, match="a program is in one of") as raised:
        RemoteSandbox(server, "sesame").verdicts([Program("cobol", "", [Case("", "")])])
    assert server in raised.value.remedy


def test_an_address_without_a_sandbox_is_refused_at_once() -> None:
    app = FastAPI()
    app.get("/health")(lambda: {"status": "ok"})
    with served(app) as url, pytest.raises(UserError, match="a sandbox on another machine") as raised:
        RemoteSandbox(url)
    assert "another server" in raised.value.got
    with pytest.raises(UserError, match="a sandbox on another machine"):
        RemoteSandbox("http://127.0.0.1:9")
    with pytest.raises(UserError, match="a sandbox on another machine"):
        RemoteSandbox("127.0.0.1:9")


def test_a_server_that_fails_is_asked_again_and_then_it_is_no_fault_of_the_program(monkeypatch) -> None:
    monkeypatch.setattr(remote, "_FIRST_WAIT", 0.001)
    seen: list[str] = []
    app = FastAPI()
    app.get("/health")(lambda: {"sandbox": remote.PROTOCOL})

    @app.post("/programs")
    async def programs(request: Request):
        text = (await request.json())["program"]
        seen.append(text)
        if text == "twice" and seen.count("twice") == 2:
            return {"status": "ok", "value": 1.0, "reason": "match"}
        return JSONResponse({}, status_code=503)

    with served(app) as url:
        one, other = RemoteSandbox(url).verdicts(
            [Program("python", text, [Case("", "")]) for text in ("twice", "never")]
        )
    assert (one.status, seen.count("twice")) == (Status.OK, 2)
    assert (other.status, other.reason, seen.count("never")) == (Status.FAILED, "sandbox", 4)


def test_a_program_that_is_too_large_fails_alone(server: str) -> None:
    programs = [Program("python", "#" * (2 << 20), [Case("", "")]), Program("python", ECHO, [Case("a\n", "a\n")])]
    large, small = RemoteSandbox(server, "sesame").verdicts(programs)
    assert (large.status, large.reason) == (Status.FAILED, "sandbox")
    assert small.status is Status.OK


def test_the_environment_names_the_machine(server: str, monkeypatch) -> None:
    monkeypatch.delenv(remote.URL, raising=False)
    assert remote_or(lambda: "here") == "here"
    monkeypatch.setenv(remote.URL, server)
    monkeypatch.setenv(remote.TOKEN, "sesame")
    assert remote_or(lambda: pytest.fail("asked here")) == RemoteSandbox(server, "sesame")
