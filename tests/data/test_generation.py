"""From a table to mixed samples over a real server that fails: killed twice, resumed, and no request is paid twice."""

import hashlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from afterbase.core.sample import read_samples
from afterbase.rollout.endpoint.request_cache import RequestCache, canonical
from afterbase.rollout.server.app import create_app
from loopback import served
from misbehaving import HANG, RESET, answering, reply

PROBLEMS, SAMPLES = 40, 3
PROGRAM = """
import sys
from pathlib import Path
from afterbase.core.store import Store
from afterbase.data.generate.draft import draft
from afterbase.data.mixture import Mixture, mix
from afterbase.data.problems.source_rows import Columns, Source
from afterbase.data.problems.sources import make_source
from afterbase.data.generate.teacher import Price, Teacher
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig

folder, url = Path(sys.argv[1]), sys.argv[2]
count, samples = int(sys.argv[3]), int(sys.argv[4])
store = Store(folder / "store")
columns = Columns(prompt="q", answer="a", id="id")
source = Source(path=str(folder / "t.jsonl"), licence="MIT", verifier="maths", columns=columns, train=count, test=4)
endpoint = EndpointConfig(url=url, model="toy", max_concurrent=6, request_timeout=15.0, retries=12, first_wait=0.01)
price = Price(prompt=1.0, completion=4.0)
teacher = Teacher(
    endpoint=endpoint, originals="gold", samples=samples, temperature=1.0, max_new_tokens=6, price=price, max_cost=1.0
)
problems = make_source(store, "sums", source, seed=0)
drafts = draft(store, "sums", problems, ["original", "reflective"], seed=0, teacher=teacher, account="factory")
mixed = mix(store, "SFT set", [drafts], Mixture(most_per_domain=1000, longest=1000), seed=0)
print(drafts.payload, mixed.payload)
"""
FAULTS = [
    reply(500, b"oops"),
    reply(200, b"<!doctype html><title>Bad gateway</title>"),
    reply(200, {"choices": []}, missing=9),
    RESET,
    reply(503, {}),
]
KILLED_AFTER = (25, 70)


class Storm:
    """Between client and server: some attempts fail by what they hash to, two kill the client, one never ends.

    An attempt that reaches the server is paid.
    """

    def __init__(self, server: str, cache: Path) -> None:
        self._server = server
        self._cache = cache
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._kills = list(KILLED_AFTER)
        self._killed = False
        self._stalls = 1
        self._look_again = threading.Event()
        self.client: subprocess.Popen[str] | None = None
        self.paid: Counter[str] = Counter()
        self.tokens = 0
        self.faults: Counter[str] = Counter()

    def answer(self, body: dict[str, Any]) -> bytes:
        key = canonical(body)
        with self._lock:
            if self._killed:
                return HANG
            attempt = self._attempts[key]
            self._attempts[key] += 1
            if self._kills and self.paid.total() >= self._kills[0]:
                self._kill()
                return HANG
            chance = int(hashlib.sha256(f"{attempt}{key}".encode()).hexdigest()[:8], 16) / 16**8
            if chance < 0.05:
                self.faults["error"] += 1
                return FAULTS[self.faults["error"] % len(FAULTS)]
            if chance < 0.1:
                self.faults["429"] += 1
                return reply(429, {"error": "slow down"}, headers=["Retry-After: 0.02"])
            if not self._kills and self._stalls:
                self._stalls -= 1
                self.faults["stall"] += 1
                return HANG
            self.paid[key] += 1
        answered = httpx.post(f"{self._server}/v1/chat/completions", json=body, timeout=60.0)
        with self._lock:
            self.tokens += answered.json()["usage"]["total_tokens"]
        return reply(answered.status_code, answered.content)

    def _kill(self) -> None:
        """Once all that was paid has arrived: what is under way when a process dies cannot be known to it."""
        assert self.client is not None
        self._killed = True
        self._lock.release()
        with closing(sqlite3.connect(self._cache)) as database:
            while database.execute("SELECT COUNT(*) FROM answers").fetchone()[0] < self.paid.total():
                assert self.client.poll() is None, "it may not end before it is killed"
                self._look_again.wait(0.01)  # another process commits; nothing here can tell when
        self._lock.acquire()
        self._kills.pop(0)
        self.faults["kill"] += 1
        self.client.send_signal(signal.SIGKILL)

    def run(self, folder: Path, url: str) -> tuple[int, str]:
        """The program's exit status, and what it said."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with self._lock:
            self._killed = False
            self.client = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(folder), url, str(PROBLEMS), str(SAMPLES)],
                text=True,
                stdout=subprocess.PIPE,
                env=environment,
            )
        said = self.client.communicate()[0]
        return self.client.returncode, said


@pytest.mark.slow  # four processes that load torch
def test_killed_twice_in_a_storm_and_no_request_is_paid_twice(toy_lm, tmp_path):
    rows = [{"id": n, "q": f"What is {n}+{n + 1}?", "a": 2 * n + 1} for n in range(70)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cache, requests = tmp_path / "store" / "requests.sqlite", PROBLEMS * SAMPLES
    with served(create_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=100_000)) as server:
        storm = Storm(server, cache)
        with answering(storm.answer) as proxy:
            ends = [storm.run(tmp_path, proxy.url) for _ in range(3)]
            attempts = len(proxy.requests)
            again = storm.run(tmp_path, proxy.url)
            assert len(proxy.requests) == attempts, "a finished stage asks nothing"
    assert [status for status, _ in ends] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert again == ends[2]
    assert storm.faults["kill"] == 2
    assert min(storm.faults[kind] for kind in ("error", "429", "stall")) > 0
    assert attempts > requests
    assert (len(storm.paid), storm.paid.total()) == (requests, requests)
    with RequestCache(cache) as kept:
        spent = kept.spent("factory")
        assert (len(kept), spent.requests, spent.tokens) == (requests, requests, storm.tokens)
    drafts, mixed = ([*read_samples(Path(p) / "samples.parquet")] for p in ends[2][1].split())
    assert Counter(sample.kind for sample in drafts) == {"original": PROBLEMS, "reflective": requests}
    assert {s.producer["name"] for s in drafts} == {"gold", "endpoint"}
    assert Counter(s.producer.get("sample_index") for s in drafts if s.kind == "reflective") == dict.fromkeys(
        range(SAMPLES), PROBLEMS
    )
    assert not [s for s in drafts if s.dropped is not None and s.dropped.rule.startswith("no answer")]
    assert len(list(itertools.filterfalse(lambda s: s.dropped is None, mixed))) == len(mixed) - PROBLEMS
