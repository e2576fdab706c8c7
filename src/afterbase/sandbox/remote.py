"""Programs run on another machine: `ProgramRunner` and `CallRunner` over HTTP.

For where none can be isolated, or more are needed.

The other machine runs `afterbase serve-sandbox` (`server.py`). A request that gets no answer is tried again, and
in the end its programs are `failed` with `sandbox`: never the program's fault. What is wrong with the server as such,
its address or the token, is a UserError before the first program.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from afterbase.core.errors import UserError
from afterbase.core.sample import Status, Verdict
from afterbase.sandbox.programs import VERIFIER, Program, Scoring
from afterbase.sandbox.python_calls import Reason, Run, RunResult

URL, TOKEN = "AFTERBASE_SANDBOX", "AFTERBASE_SANDBOX_TOKEN"
PROTOCOL = 1
_AT_ONCE, _TRIES, _FIRST_WAIT = 16, 4, 0.5
_SECONDS = 300.0  # for one program and all its tests
T = TypeVar("T")


@dataclass(frozen=True)
class RemoteSandbox:
    """A sandbox server at `url`, which is asked at once whether it is one."""

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        try:
            with self._client() as client:
                state = self._told(client.get("/health"))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._unusable(str(error)) from None
        if not isinstance(state, dict) or state.get("sandbox") != PROTOCOL:
            raise self._unusable(f"another server: {str(state)[:80]}")

    def verdicts(self, programs: Sequence[Program], *, scoring: Scoring = "all") -> list[Verdict]:
        """As `ProgramRunner.verdicts`."""
        lost = {"status": str(Status.FAILED), "value": 0.0, "reason": str(Reason.SANDBOX)}
        bodies = [
            {
                "language": program.language,
                "program": program.text,
                "tests": [test._asdict() for test in program.tests],
                "scoring": scoring,
            }
            for program in programs
        ]
        answers = self._each("/programs", bodies, lost)
        return [
            Verdict(verifier=VERIFIER, status=Status(a["status"]), value=a["value"], reason=a["reason"])
            for a in answers
        ]

    def run_many(self, runs: Sequence[Run]) -> list[RunResult]:
        """As `CallRunner.run_many`."""
        lost = {"reason": str(Reason.SANDBOX), "results": []}
        answers = self._each("/calls", [vars(run) for run in runs], lost)
        return [RunResult(reason=Reason(a["reason"]), results=a["results"]) for a in answers]

    def _each(self, path: str, bodies: Sequence[dict[str, Any]], lost: dict[str, Any]) -> list[dict[str, Any]]:
        with self._client() as client, ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda body: self._ask(client, path, body) or lost, bodies))

    def _ask(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_FIRST_WAIT * 2 ** (attempt - 1))
            try:
                answer = client.post(path, content=json.dumps(body))
                if answer.status_code in (413, 422):
                    return None  # this program alone is more than the server takes, or none
                if answer.status_code < 500:
                    return self._told(answer)
            except httpx.TransportError:
                continue
            except RecursionError:
                return None  # results that lie deeper than is read here
        return None

    def _told(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            body = answer.json()
            if answer.status_code == 200:
                return body
            rule, got, remedy = (body["error"][part] for part in ("rule", "got", "remedy"))
        except (ValueError, KeyError, TypeError):
            raise self._unusable(f"HTTP {answer.status_code}: {answer.text[:80]}") from None
        raise UserError(rule, got=got, remedy=f"{remedy} (at {self.url})")

    def _client(self) -> httpx.Client:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=_SECONDS)

    def _unusable(self, got: str) -> UserError:
        return UserError(
            f"a sandbox on another machine is a running `afterbase serve-sandbox` ({URL})",
            got=f"{self.url}: {got}",
            remedy=f"start it there, correct the address, or unset {URL} to run programs here",
        )


def remote_or(local: Callable[[], T]) -> "RemoteSandbox | T":
    """The sandbox that the environment names, or else what `local` makes."""
    url = os.environ.get(URL)
    return RemoteSandbox(url, os.environ.get(TOKEN)) if url else local()
