"""The sandbox server: refusals before it listens, requests that are none, and the command from its start to its end."""

import json
import os
import signal
import subprocess
import sys

import httpx
import pytest

from afterbase.core.errors import UserError
from afterbase.verify.programs import Judge
from afterbase.verify.sandbox import Sandbox
from afterbase.verify.sandbox_app import create_app, serve
from jails import SMALL, jail_or_skip
from loopback import served

# A shell gives a background process's children SIGINT ignored; a terminal does not.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from afterbase.cli import main; main()"
)


def test_an_open_door_is_refused() -> None:
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
        Sandbox(workers=1) as sandbox,
        served(create_app(Judge(jail=jail_or_skip(), limits=SMALL), sandbox, token=None)) as url,
    ):
        assert httpx.post(f"{url}/programs", json=body).status_code == 422


def test_the_command_serves_verify_code(tmp_path) -> None:
    jail_or_skip()
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
