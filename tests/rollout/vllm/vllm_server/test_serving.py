"""The rollout server under requests that are none: over real sockets, with a toy model instead of vLLM."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import save_file

from afterbase.core.errors import UserError
from afterbase.core.private_files import make_token
from afterbase.rollout.vllm.vllm_client import Client, Deadlines
from afterbase.rollout.vllm.vllm_server import serving
from raw import connect, exchange, status, statuses
from rollout_server import Running, ToySampler

SESAME = {"Authorization": "Bearer sesame"}
WEIGHTS = {**SESAME, "Content-Type": "application/octet-stream"}


@pytest.fixture
def server(toy_folder: Path) -> Iterator[Running]:
    running = Running(ToySampler(toy_folder), token="sesame")
    yield running
    running.kill()


@pytest.fixture
def weights(server: Running, tmp_path: Path) -> bytes:
    save_file(dict(server.toy.model.state_dict()), tmp_path / "w.safetensors", metadata={"format": "pt"})
    return (tmp_path / "w.safetensors").read_bytes()


def update(server: Running, body: bytes, *, version: int = 1, **headers: str) -> httpx.Response:
    checksum = hashlib.sha256(body).hexdigest()
    url = f"{server.url}/update?version={version}&sha256={checksum}"
    return httpx.post(url, content=body, headers={**WEIGHTS, **headers}, timeout=60)


def ask(server: Running, body: Any, path: str = "/generate", **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, headers={**SESAME, **headers}, timeout=60)


def wanted(server: Running, **changed: Any) -> dict[str, Any]:
    held = {"version": server.version or 0, "sha256": server.checksum or "0" * 64}
    rows = {"prompts": [[1, 2]], "rows": [[0, 0, 1]], "temperature": 1.0, "max_new_tokens": 3, "stop_token_ids": []}
    return {**held, **rows, **changed}


def test_weights_of_a_web_page_are_not_taken(server: Running, weights: bytes) -> None:
    refused: list[tuple[dict[str, str], int]] = [
        ({"Authorization": ""}, 401),
        ({"Content-Type": "text/plain"}, 415),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 421),
    ]
    for headers, told in refused:
        answer = update(server, weights, version=1, **headers)
        assert (answer.status_code, answer.json().keys()) == (told, {"error", "code"})
    assert (server.version, server.toy.loads) == (None, 0)
    assert update(server, weights).json()["version"] == 1


def test_nothing_is_sampled_before_there_are_weights(server: Running) -> None:
    none = {"version": None, "sha256": None}
    assert ask(server, {**wanted(server), **none}).status_code == 400
    assert ask(server, {**none, "token_ids": [1, 2]}, "/score").status_code == 400
    answer = ask(server, wanted(server))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_weights")


@pytest.mark.parametrize(
    "changed", [{"rows": [[0]]}, {"rows": [[5, 0, 1]]}, {"temperature": "x"}, {"prompts": [[10**9]]}]
)
def test_a_request_that_is_none_harms_nobody(server: Running, weights: bytes, changed: dict[str, Any]) -> None:
    update(server, weights)
    assert ask(server, wanted(server, **changed)).status_code == 400
    lines = ask(server, wanted(server)).text.splitlines()
    assert json.loads(lines[-1]) == {"done": True}


@pytest.mark.parametrize("length", ["-1", "x", "5\r\nContent-Length: 6", "0"])
def test_a_length_that_is_none_is_refused(server: Running, length: str) -> None:
    head = f"POST /update?version=1&sha256={'0' * 64} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\n"
    request = f"{head}Content-Type: application/octet-stream\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    assert status(exchange(server.url, request.encode())) == 400
    assert server.version is None


def test_weights_in_chunks_have_no_length_and_are_refused(server: Running) -> None:
    url = f"{server.url}/update?version=1&sha256={'0' * 64}"
    assert httpx.post(url, content=iter([b"x"]), headers=WEIGHTS).status_code == 411


def test_an_unread_body_is_no_second_request(server: Running) -> None:
    inner = b"GET /state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\n\r\n"
    for target in ("/update?version=x", "/nowhere", "/state"):
        head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\n"
        kind = "application/octet-stream" if target.startswith("/update") else "application/json"
        request = f"{head}Content-Type: {kind}\r\nContent-Length: {len(inner)}\r\nConnection: close\r\n\r\n".encode()
        assert len(statuses(exchange(server.url, request + inner))) == 1


def test_what_is_no_safetensors_file_leaves_the_weights_that_are_held(server: Running, weights: bytes) -> None:
    update(server, weights)
    for broken in (b"no weights", weights[:-1], weights + b"\0"):
        assert update(server, broken, version=2).status_code == 422
    assert (server.version, server.toy.loads) == (1, 1)


def test_an_update_that_does_not_fit_is_refused_unread(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_SPARE_BYTES", 1 << 60)
    answer = update(server, b"x" * 1000)
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")


def test_a_client_that_leaves_in_the_middle_of_an_update_changes_nothing(server: Running, weights: bytes) -> None:
    update(server, weights)
    head = f"POST /update?version=2&sha256={'0' * 64} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\n"
    request = f"{head}Content-Type: application/octet-stream\r\nContent-Length: {len(weights)}\r\n\r\n".encode()
    with closing(connect(server.url)) as connection:
        connection.sendall(request + weights[:1000])
    while update(server, weights, version=3).status_code == 503:  # its end may not have been seen yet
        pass
    assert (server.version, server.toy.loads) == (3, 2)


def test_an_update_waits_for_the_rollout_that_runs(toy_folder: Path, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Waits(ToySampler):
        def rollout(self, request, aborted):
            begun.set()
            assert go_on.wait(30)
            yield from super().rollout(request, aborted)

    server = Running(Waits(toy_folder), token="sesame")
    try:
        save_file(dict(server.toy.model.state_dict()), tmp_path / "w", metadata={"format": "pt"})
        update(server, body := (tmp_path / "w").read_bytes())
        told: list[Any] = []
        rolling = threading.Thread(target=lambda: told.append(ask(server, wanted(server)).text))
        rolling.start()
        assert begun.wait(30)
        updating = threading.Thread(target=lambda: told.append(update(server, body, version=2).json()))
        updating.start()
        while server.jobs.qsize() == 0:
            assert server.version == 1
        go_on.set()
        rolling.join()
        updating.join()
        assert [json.loads(line).get("weight_version") for line in told[0].splitlines()][-2:] == [1, None]
        assert told[1]["version"] == 2
    finally:
        go_on.set()
        server.kill()


def test_a_client_that_leaves_takes_its_request_along(toy_folder: Path, tmp_path: Path) -> None:
    ended = threading.Event()

    class Long(ToySampler):
        def rollout(self, request, aborted):
            while not aborted():
                yield None
            ended.set()
            yield {"prompt": 0, "sample": 0, "token_ids": [], "logps": [], "finish": "abort"}

    server = Running(Long(toy_folder), token="sesame")
    try:
        save_file(dict(server.toy.model.state_dict()), tmp_path / "w", metadata={"format": "pt"})
        update(server, (tmp_path / "w").read_bytes())
        with httpx.stream("POST", f"{server.url}/generate", json=wanted(server), headers=SESAME) as answer:
            assert json.loads(next(answer.iter_lines())) == {"alive": True}
        assert ended.wait(30)
        assert httpx.get(f"{server.url}/state", headers=SESAME).json()["version"] == 1
    finally:
        server.kill()


def test_other_paths_and_methods_are_told(server: Running) -> None:
    for method, path, told in (("GET", "/", 404), ("GET", "/generate", 405), ("POST", "/state", 405)):
        answer = httpx.request(method, server.url + path, headers=SESAME)
        assert (answer.status_code, answer.json().keys()) == (told, {"error", "code"})


def test_a_client_of_the_same_user_finds_a_made_token(toy_folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("AFTERBASE_ROLLOUT_TOKEN", raising=False)
    sampler = ToySampler(toy_folder)
    first = Running(sampler)
    first.kill()
    token, _ = make_token(f"rollouts-{first.server_port}")
    server = Running(sampler, port=first.server_port, token=token)
    try:
        with closing(Client(server.url, token=None, deadlines=Deadlines())) as client:
            assert client.state()["version"] is None
        with closing(Client(server.url, token="wrong", deadlines=Deadlines())) as client, pytest.raises(UserError):
            client.state()
    finally:
        server.kill()


def test_the_server_needs_nothing_of_our_environment() -> None:
    """vLLM's interpreter has uvicorn and h11, and pins other versions of all the rest."""
    main = Path(serving.__file__).with_name("__main__.py")
    program = f"""
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in "torch transformers pydantic fastapi starlette httpx numpy rich".split():
            raise ImportError(name)
sys.meta_path.insert(0, Wall())
import runpy
scope = runpy.run_path({str(main)!r}, run_name="server")
import afterbase
assert not hasattr(afterbase, "__file__") or afterbase.__file__ is None, "a folder of ours, not our package"
import uvicorn
print(scope["Server"].__module__, scope["server"].__module__)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.stdout.split() == ["afterbase.rollout.vllm.vllm_server.serving", "afterbase.core.http.http_server"], (
        told.stderr
    )
