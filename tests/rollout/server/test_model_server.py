"""The command `serve`: refusals before the model is loaded, a greeting that works, and a clean end."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from afterbase.core.errors import UserError
from afterbase.rollout.server import model_server as command
from afterbase.rollout.server.model_server import serve

SETTINGS: dict[str, Any] = {"max_rows": 4, "token_budget": 10_000}
# A shell gives a background process's children SIGINT ignored; a terminal does not.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from afterbase.cli.main import main
main()
"""


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(command, "load", lambda folder: pytest.fail("loaded a model before looking at the rest"))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_an_address_that_others_reach_needs_a_token(no_model, host):
    with pytest.raises(UserError, match="wants a token") as raised:
        serve("tiny-v3", host=host, port=0, token=None, **SETTINGS)
    assert host in raised.value.got
    assert "--token" in raised.value.remedy


def test_an_empty_token_is_none(no_model):
    with pytest.raises(UserError, match="one character or more"):
        serve("tiny-v3", host="127.0.0.1", port=0, token="", **SETTINGS)


def test_a_missing_model_is_told(no_model):
    with pytest.raises(UserError, match="shipped name or a Hugging Face folder"):
        serve("nowhere", host="127.0.0.1", port=0, token=None, **SETTINGS)


def test_a_port_in_use_is_told(no_model):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="port of its own") as raised:
        serve("tiny-v3", host="127.0.0.1", port=taken.getsockname()[1], token=None, **SETTINGS)
    assert "in use" in raised.value.got
    assert "--port" in raised.value.remedy


def test_the_greeting_works_and_ctrl_c_ends_it(toy_folder):
    arguments = ["serve", str(toy_folder), "--port", "0", "--max-rows", "4", "--token-budget", "10000"]
    environment = {**os.environ, "AFTERBASE_TOKEN": "sesame", "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert server.stdout is not None
    try:
        greeting = [server.stdout.readline() for _ in range(5)]
        assert Path(toy_folder).name in greeting[0]
        words = shlex.split("".join(greeting[2:4]).replace("\\\n", ""))
        url, headers, body = words[1], words[2:-2], json.loads(words[-1])
        assert headers == ["-H", "Authorization: Bearer TOKEN", "-H", "Content-Type: application/json"]
        answer = httpx.post(url, json={**body, "max_tokens": 4}, headers={"Authorization": "Bearer sesame"}, timeout=60)
        assert answer.json()["usage"]["completion_tokens"] <= 4
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=60)[0] == "stopped\n"
        assert server.returncode == 0
    finally:
        server.kill()
        server.communicate()
