"""The sandbox server: refusals before it listens, requests that are none, and the command from its start to its end."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from afterbase.core.errors import UserError
from afterbase.core.http.request_guard import JSON
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox.programs import Case, Program, ProgramRunner
from afterbase.sandbox.python_calls import CallRunner, Reason, Run
from afterbase.sandbox.remote import RemoteSandbox
from afterbase.sandbox.server import create_app, render_refusal, serve
from confinements import SMALL, confinement_or_skip
from loopback import served
from raw import connect

# A shell gives a background process's children SIGINT ignored; a terminal does not.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from afterbase.cli.main import main
main()
"""


def test_an_address_that_others_reach_needs_a_token() -> None:
    with pytest.raises(UserError, match="wants a token"):
        serve(host="0.0.0.0", port=0, token=None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"language": "python", "program": "", "tests": []},
        {"language": "python", "program": 1, "tests": [{"stdin": "", "stdout": ""}]},
    ],
)
def test_what_is_no_program_is_refused(body) -> None:
    with (
        CallRunner(workers=1) as sandbox,
        served(create_app(ProgramRunner(confinement=confinement_or_skip(), limits=SMALL), sandbox, token=None)) as url,
    ):
        assert httpx.post(f"{url}/programs", json=body).status_code == 422


@pytest.fixture(scope="module")
def url():
    with (
        CallRunner(workers=1) as sandbox,
        served(
            create_app(ProgramRunner(confinement=confinement_or_skip(), workers=1), sandbox, token=None),
            render_refusal=render_refusal,
        ) as base,
    ):
        yield base


CASE = {"stdin": "", "stdout": ""}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/programs", {"language": "python", "program": "", "tests": [CASE] * 2001}),
        ("/programs", {"language": "python", "program": "#" * (1 << 20) + "#", "tests": [CASE]}),
        ("/programs", {"language": "python", "program": "", "tests": [{**CASE, "stdin": "x" * (33 << 20)}]}),
        ("/programs", {"language": "python", "program": "", "tests": [{**CASE, "stdout": "x" * (65 << 20)}]}),
        ("/calls", {"program": "", "function": "f", "calls": [[]] * 2001}),
        ("/calls", {"program": "", "function": "f", "calls": [["x" * (9 << 20)]]}),
    ],
    ids=range(6),
)
def test_work_is_bounded_before_it_is_begun(url, path, body) -> None:
    answer = httpx.post(url + path, json=body, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["error"].keys() == {"rule", "got", "remedy"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 10_000, b"\xff", b'{"program": "\\ud800"}', b"null", b'{"calls": 1}']
)
def test_what_is_no_request_is_told_in_this_servers_form(url, body) -> None:
    for path in ("/programs", "/calls"):
        answer = httpx.post(url + path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["error"].keys() == {"rule", "got", "remedy"}
    assert httpx.get(f"{url}/nothing").json()["error"].keys() == {"rule", "got", "remedy"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/programs", b'{"language":"python","program":"","tests":[' + b"1," * 400_000 + b"1]}", 413),
        ("/programs", b'{"language":"python","program":"","tests":[' + b"1," * 10_000 + b"1]}", 422),
        ("/programs", b'{"language":"' + b"x" * 100_000 + b'","program":"","tests":[{"stdin":"","stdout":""}]}', 422),
        ("/calls", b'{"program":"","function":"f","calls":[[' + b"[]," * 700_000 + b"[]]]}", 413),
        ("/calls", b'{"program":"","function":"f","calls":[' + b"1," * 200_000 + b"1]}", 422),
    ],
    ids=range(5),
)
def test_many_small_wrong_values_cost_little(url, path, body, status) -> None:
    was = resident()
    answer = httpx.post(url + path, content=body, headers={"Content-Type": JSON}, timeout=60)
    assert answer.status_code == status
    assert len(answer.content) < 1000
    assert resident() - was < 300 << 20  # told of each one, they took a gigabyte


def resident() -> int:
    """The most bytes of memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_results_that_python_alone_writes_are_those_of_calls_here(url) -> None:
    nested = "def f(x):\n    for _ in range(900):\n        x = [x]\n    return x"
    runs = [
        Run(program="def f(x): return [x, '\\ud800', float('inf')]", function="f", calls=[[0.5]]),
        Run(program="def f(x): return [x]", function="f", calls=[["\ud800"], [[[]]]]),
        Run(program=nested, function="f", calls=[[1]]),
        Run(program="\ud800", function="f", calls=[[]]),
    ]
    with CallRunner(workers=1) as here:
        assert RemoteSandbox(url).run_many(runs) == here.run_many(runs)
    lost, nan = RemoteSandbox(url).run_many(
        [Run(program="", function="f", calls=[1]), Run(program="f = float", function="f", calls=[["nan"]])]  # type: ignore
    )
    assert lost.reason is Reason.SANDBOX
    assert repr(nan.results) == "[nan]"


def test_pages_of_others_run_nothing(url) -> None:
    body = {"language": "python", "program": "print(1)", "tests": [CASE]}
    for headers in ({"Content-Type": "text/plain"}, {"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        answer = httpx.post(f"{url}/programs", content=json.dumps(body), headers={"Content-Type": JSON, **headers})
        assert answer.status_code in (403, 415, 421)


class Waits:
    """A judge whose programs run until nobody wants them."""

    def __init__(self) -> None:
        self.confinement = confinement_or_skip()
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.asked: list[str] = []

    def verdicts(self, programs, *, scoring, unwanted):
        self.asked.append(programs[0].text)
        self.begun.release()
        while not unwanted():
            threading.Event().wait(0.01)
        self.ended.release()
        return [Verdict(verifier="program", status=Status.FAILED, value=0.0, reason="sandbox")]


def test_who_leaves_takes_what_runs_and_what_waits_along(monkeypatch) -> None:
    monkeypatch.setattr("afterbase.sandbox.server.worker_count", lambda: 1)
    judge = Waits()

    def asking(text: str) -> socket.socket:
        body = json.dumps({"language": "python", "program": text, "tests": [CASE]}).encode()
        head = f"POST /programs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\nContent-Length: {len(body)}"
        connection = connect(base)
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        return connection

    with CallRunner(workers=1) as sandbox, served(create_app(judge, sandbox, token=None)) as base:  # type: ignore[arg-type]
        runs = asking("runs")
        assert judge.begun.acquire(timeout=20)
        waits = asking("waits")
        waits.close()
        assert httpx.get(f"{base}/health").status_code == 200, "what came before has been read"
        last = asking("last")
        runs.close()
        assert judge.ended.acquire(timeout=20)
        assert judge.begun.acquire(timeout=20)
        last.close()
        assert judge.ended.acquire(timeout=20)
    assert judge.asked == ["runs", "last"]


def test_a_program_that_nobody_waits_for_is_killed() -> None:
    judge, wanted = ProgramRunner(confinement=confinement_or_skip(), workers=1), iter([False, False, False])
    program = Program("python", "while True: pass", [Case("", "")] * 50)
    (verdict,) = judge.verdicts([program], scoring="fraction", unwanted=lambda: next(wanted, True))
    assert (verdict.status, verdict.reason) == (Status.FAILED, "sandbox")


def test_the_command_serves_verify_code(tmp_path) -> None:
    confinement_or_skip()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "AFTERBASE_SANDBOX_TOKEN": "sesame"}
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve-sandbox", "--port", "0"],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        shown = [server.stdout.readline() for _ in range(3)][2].split()[0]
        row = {"id": 1, "language": "python", "program": "print(2)", "tests": [{"stdin": "", "stdout": "2"}]}
        (tmp_path / "cases.jsonl").write_text(json.dumps(row))
        name, _, url = shown.partition("=")
        told = subprocess.run(
            [sys.executable, "-m", "afterbase", "verify", "code", str(tmp_path / "cases.jsonl"), "--json"],
            env={**environment, name: url}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert json.loads(told.stdout)["results"] == [{"id": 1, "status": "ok", "reason": "match"}]
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=60)[0] == "stopped\n"
        assert server.returncode == 0
    finally:
        server.kill()
        server.wait()
