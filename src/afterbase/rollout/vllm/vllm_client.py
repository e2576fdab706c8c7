"""The requests of a rollout server (`serving.py`), each once; who calls decides what is tried again."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from afterbase.core.errors import UserError
from afterbase.core.http.allowed_hosts import is_loopback
from afterbase.core.private_files import kept_token

PROTOCOL = 1
_PIECE = 1 << 22


class ServerFaultError(Exception):
    """The server, or the way to it, failed; the same request may succeed later."""


class OtherWeightsError(Exception):
    """The server holds other weights than those asked for; one that was started again holds none."""


@dataclass(frozen=True, kw_only=True)
class Deadlines:
    """Seconds until a silent server counts as one that hangs: between two lines of a rollout, and for an update."""

    line: float = 120.0
    update: float = 600.0


def token_of(url: str) -> str | None:
    """What a rollout server wants to be shown: AFTERBASE_ROLLOUT_TOKEN, or what one on this machine made for itself."""
    address = urlsplit(url)
    token = os.environ.get("AFTERBASE_ROLLOUT_TOKEN")
    if token or not is_loopback(address.hostname or ""):
        return token or None
    return kept_token(f"rollouts-{address.port or 80}")


class Client:
    """One server; `token` is what it wants to be shown, or else that of `token_of`."""

    def __init__(self, url: str, *, token: str | None, deadlines: Deadlines) -> None:
        self.url = url.rstrip("/")
        self._deadlines = deadlines
        token = token or token_of(url)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=httpx.Timeout(deadlines.line, connect=10.0)
        )

    def close(self) -> None:
        self._http.close()

    def state(self) -> dict[str, Any]:
        """What runs there; UserError if it is something else than a rollout server of this protocol."""
        state = self._whole(self._http.build_request("GET", "/state"))
        if state.get("protocol") != PROTOCOL:
            raise self._not_a_rollout_server(f"protocol {state.get('protocol')!r} instead of {PROTOCOL}")
        return state

    def update(self, path: Path, *, version: int, checksum: str) -> dict[str, Any]:
        """Send a safetensors file and have it loaded."""
        request = self._http.build_request(
            "POST",
            "/update",
            params={"version": version, "sha256": checksum},
            headers={"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"},
            content=_pieces(path),
            timeout=httpx.Timeout(self._deadlines.update, connect=10.0),
        )
        return self._whole(request)

    def score(self, token_ids: Sequence[int], *, version: int, checksum: str) -> list[float]:
        """Log-probabilities of all tokens but the first."""
        body = {"version": version, "sha256": checksum, "token_ids": list(token_ids)}
        logps = self._whole(self._http.build_request("POST", "/score", json=body)).get("logps")
        if not isinstance(logps, list) or len(logps) != len(token_ids) - 1:
            raise ServerFaultError(f"a score of {len(token_ids)} tokens that is {str(logps)[:80]}")
        return logps

    def abort(self) -> None:
        """Ask that what runs end; a server that cannot be reached runs nothing."""
        with contextlib.suppress(ServerFaultError):
            self._whole(self._http.build_request("POST", "/abort"))

    def generate(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The lines of a rollout as they come; ServerFaultError where the last one is missing."""
        response = self._send(self._http.build_request("POST", "/generate", json=body))
        done = False
        try:
            for line in response.iter_lines():
                fields = _object(line)
                done = "done" in fields
                yield fields
        except httpx.TransportError as error:
            raise ServerFaultError(_words(error)) from error
        finally:
            response.close()
        if not done:
            raise ServerFaultError("the rollout broke off")

    def _whole(self, request: httpx.Request) -> dict[str, Any]:
        response = self._send(request)
        try:
            return _object(response.read())
        except httpx.TransportError as error:
            raise ServerFaultError(_words(error)) from error
        finally:
            response.close()

    def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request, stream=True)
            if response.status_code == httpx.codes.OK:
                return response
            told = response.read().decode(errors="replace").strip()[:500]
            response.close()
        except httpx.TransportError as error:
            raise ServerFaultError(_words(error)) from error
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = str(json.loads(told)["error"])
        match response.status_code:
            case 409:
                raise OtherWeightsError(told)
            case 401 | 403:
                raise UserError(
                    "a rollout server must be shown the token that it was started with",
                    got=f"{told} (HTTP {response.status_code} from {self.url})",
                    remedy="set AFTERBASE_ROLLOUT_TOKEN to what the server has; one that made its token printed it, "
                    "and only its own user on its own machine finds it by itself",
                )
            case 421:
                raise UserError(
                    "a rollout server is asked by a name that it knows as its own",
                    got=f"{told} (HTTP 421 from {self.url})",
                    remedy="use the address that it printed, or start it with --name and this host's name",
                )
            case 404 | 405:
                raise self._not_a_rollout_server(f"HTTP {response.status_code} for {request.url.path}")
            case 400 | 411 | 413 | 415:
                raise UserError(
                    "the rollout server must be able to meet a request",
                    got=told,
                    remedy="shorten the prompts, change the sampling settings, or serve a model with a longer context",
                )
            case status:
                raise ServerFaultError(f"HTTP {status}: {told}")

    def _not_a_rollout_server(self, got: str) -> UserError:
        return UserError(
            "on-policy training needs a server that takes new weights after each step and tells log-probabilities",
            got=f"{self.url}: {got}",
            remedy="start one with `afterbase serve-rollouts MODEL --env PATH`; an OpenAI-compatible endpoint can "
            "teach or judge, but not sample for on-policy training",
        )


def _object(line: str | bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ServerFaultError(f"not JSON: {line[:80]!r}") from error
    if not isinstance(fields, dict):
        raise ServerFaultError(f"not a JSON object: {line[:80]!r}")
    return fields


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _words(error: httpx.TransportError) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
