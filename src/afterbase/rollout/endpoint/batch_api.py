"""The batch API of OpenAI and others, at half the price or less: requests as a file, answers within a day.

A batch is noted in the cache before it is sent, and forgotten when its answers are in; a run that was killed in between
finds it, and waits for it instead of sending its requests again. Of the processes on one cache one sends at a time.
Answers are known by the key of their request, as all in the cache.

Does not cover: cancelling, and endpoints that take other files than chat completions.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatRequest, Failure, Reason, Reply
from afterbase.rollout.endpoint.budget import Budget
from afterbase.rollout.endpoint.config import SHOWN, EndpointConfig, refusal
from afterbase.rollout.endpoint.http_reply import HttpReply, UnfitError
from afterbase.rollout.endpoint.reply_body import UnreadableError, reply_of
from afterbase.rollout.endpoint.request_cache import RequestCache, canonical, request_key

_PATH = "/v1/chat/completions"
_MOST_REQUESTS, _MOST_BYTES = 50_000, 100 << 20  # in a file: OpenAI takes so many, and twice the bytes
_MOST_RESULTS = 1 << 30  # bytes of a file of answers
_GONE = "gone"
_ENDED = ("completed", "failed", "expired", "cancelled", _GONE)
_INTENT = "not yet sent: "  # stands for the id of a batch that may have been sent, or not
_MARK = "afterbase"  # the field of a batch's metadata that holds its name


class BatchCall:
    """One call of `complete` by way of batches; `pause` waits between two looks at a batch."""

    def __init__(
        self,
        config: EndpointConfig,
        headers: dict[str, str],
        requests: Sequence[ChatRequest],
        on_finished: Callable[[int, Reply], None] | None,
        budget: Budget | None,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._requests = requests
        self._on_finished = on_finished
        self._budget = budget
        self._pause = pause
        self._held: dict[str, tuple[int, int]] = {}
        self._replies: dict[int, Reply] = {}
        self._places: dict[str, list[int]] = {}
        token = {name: value for name, value in headers.items() if name != "Content-Type"}
        self._client = httpx.Client(base_url=config.url, headers=token, timeout=config.request_timeout)
        self._ends = None if config.deadline is None else time.monotonic() + config.deadline

    def run(self, cache: RequestCache) -> list[Reply]:
        """As `Endpoint.complete`. Raises UserError where a batch as a whole is refused."""
        for index, request in enumerate(self._requests):
            assert not request.plain, "batches are of chats"
            self._places.setdefault(request_key(request.body(self._config.model), request.sample), []).append(index)
        with self._client:
            try:
                self._run(cache)
            except TimeoutError:
                self._fail(list(self._places), Reason.DEADLINE, f"after {self._config.deadline} s in all")
        return [self._replies[index] for index in range(len(self._requests))]

    def _run(self, cache: RequestCache) -> None:
        if not self._take_known(cache):
            return
        turn = f"batches {self._config.url}"
        while not cache.claim(turn):
            self._wait()
        try:
            self._adopt(cache)
            for identifier in self._noted(cache):
                self._fetch(identifier, cache)
            for lines in self._files(self._afford(self._take_known(cache))):
                status = self._fetch(self._send(lines, cache), cache)
                self._fail(list(lines), Reason.TIMEOUT, f"no line in a batch that is {status}")
        finally:
            cache.release(turn)

    def _noted(self, cache: RequestCache) -> dict[str, str]:
        """Names by id of this endpoint's batches."""
        own = f"{self._config.url} "
        return {i: name.removeprefix(own) for i, name in cache.batches().items() if name.startswith(own)}

    def _take_known(self, cache: RequestCache) -> list[str]:
        """Answer what is in the cache; gives the keys that have no result."""
        for key, indices in self._places.items():
            kept = cache.get(key) if indices[0] not in self._replies else None
            if kept is not None:
                self._finish(key, reply_of(kept.body))
        return [key for key, indices in self._places.items() if indices[0] not in self._replies]

    def _afford(self, keys: list[str]) -> list[str]:
        """Those that the budget has room for, whatever they will cost; the others fail."""
        if self._budget is None:
            return keys
        for at, key in enumerate(keys):
            held = self._budget.hold(self._requests[self._places[key][0]].body(self._config.model))
            if held is None:
                self._fail(keys[at:], Reason.BUDGET, str(self._budget))
                return keys[:at]
            self._held[key] = held
        return keys

    def _files(self, keys: list[str]) -> Iterator[dict[str, bytes]]:
        """Lines of files by key, as many files as the API's limits make."""
        file: dict[str, bytes] = {}
        size = 0
        for key in keys:
            body = self._requests[self._places[key][0]].body(self._config.model)
            line = canonical({"custom_id": key, "method": "POST", "url": _PATH, "body": body}).encode() + b"\n"
            if file and (len(file) == _MOST_REQUESTS or size + len(line) > _MOST_BYTES):
                yield file
                file, size = {}, 0
            file[key] = line
            size += len(line)
        if file:
            yield file

    def _send(self, lines: dict[str, bytes], cache: RequestCache) -> str:
        """The id of the batch."""
        name = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
        upload = {"file": (f"{name}.jsonl", b"".join(lines.values()), "application/jsonl")}
        file = self._call("POST", "/files", files=upload, data={"purpose": "batch"}, has="id")["id"]
        cache.note_batch(_INTENT + name, f"{self._config.url} {name}")
        order = {
            "input_file_id": file,
            "endpoint": _PATH,
            "completion_window": "24h",
            "metadata": {_MARK: name},
        }
        identifier = self._call("POST", "/batches", unless=lambda: self._find(name), json=order, has="id")["id"]
        cache.note_batch(identifier, f"{self._config.url} {name}")
        cache.forget_batch(_INTENT + name)
        return identifier

    def _adopt(self, cache: RequestCache) -> None:
        """Find out whether batches were sent by a process that was killed before it knew."""
        for noted, name in self._noted(cache).items():
            if noted.startswith(_INTENT):
                found = self._find(name)
                if found is not None:
                    cache.note_batch(found["id"], f"{self._config.url} {name}")
                cache.forget_batch(noted)

    def _find(self, name: str) -> dict[str, Any] | None:
        """The batch of that name, if the endpoint has it."""
        after: dict[str, str] = {}
        while True:
            page = self._call("GET", "/batches", params={"limit": "100", **after}, has="data")
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get(_MARK) == name:
                    return batch
            if not page.get("has_more") or not page["data"]:
                return None
            after = {"after": page["data"][-1]["id"]}

    def _fetch(self, identifier: str, cache: RequestCache) -> str:
        """Wait for a batch, keep what came of it, and say how it ended; `gone` if the endpoint has it no more."""
        while (batch := self._call("GET", f"/batches/{identifier}", has="status"))["status"] not in _ENDED:
            self._wait()
        for file in (batch.get("output_file_id"), batch.get("error_file_id")):
            for line in self._lines(file) if file else ():
                self._keep(line, cache)
        cache.forget_batch(identifier)
        if batch["status"] == "failed":
            raise UserError(
                "an endpoint takes the batches that it is sent",
                got=f"{identifier}: {json.dumps(batch.get('errors'))[:SHOWN]}",
                remedy="correct what it refuses, or set `batch = false`",
            )
        return batch["status"]

    def _lines(self, file: str) -> Iterator[dict[str, Any]]:
        """Those that name a request; one that cannot be read leaves its request without an answer."""
        content = self._call("GET", f"/files/{file}/content")
        for line in content.splitlines():
            try:
                read = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(read, dict) and isinstance(read.get("custom_id"), str):
                yield read

    def _keep(self, line: dict[str, Any], cache: RequestCache) -> None:
        key, response = line["custom_id"], line.get("response")
        response = response if isinstance(response, dict) else {}
        status, body = response.get("status_code"), response.get("body")
        if status != 200 or body is None:
            said = json.dumps(line.get("error") or body)[:SHOWN]
            refused = isinstance(status, int) and 400 <= status < 500
            reason = Reason.REFUSED if refused else Reason.OVERLOADED
            self._fail([key], reason, f"HTTP {status}: {said}")
            return
        try:
            reply = reply_of(body)
        except UnreadableError as error:
            self._fail([key], Reason.MALFORMED, f"{error}: {json.dumps(body)[:SHOWN]}")
            return
        kept = cache.get(key)  # a process that was killed here has kept some of the file, and paid for it
        if kept is None:
            account, spent = "", None
            if self._budget is not None:
                # One that a killed process sent has nothing set aside here.
                held = self._held.pop(key, None)
                spent = self._budget.settle(held, body) if held is not None else self._budget.price(body)
                account = self._budget.account
            kept = cache.put(key, body, tokens=reply.tokens, account=account, spent=spent)
        self._finish(key, reply_of(kept.body))

    def _fail(self, keys: Sequence[str], reason: Reason, detail: str) -> None:
        for key in keys:
            held = self._held.pop(key, None)
            if held is not None and self._budget is not None:
                self._budget.settle(held, None)
            self._finish(key, Reply(failure=Failure(reason=reason, detail=detail)))

    def _finish(self, key: str, reply: Reply) -> None:
        """Where the key is one of this call's, and has no result yet."""
        for index in self._places.get(key, ()):
            if index not in self._replies:
                self._replies[index] = reply
                if self._on_finished is not None:
                    self._on_finished(index, reply)

    def _wait(self) -> None:
        if self._ends is not None and time.monotonic() + self._config.poll_seconds > self._ends:
            raise TimeoutError
        self._pause(self._config.poll_seconds)

    def _call(
        self,
        method: str,
        path: str,
        *,
        unless: Callable[[], dict[str, Any] | None] | None = None,
        has: str | None = None,
        **content: Any,
    ) -> Any:
        """What the endpoint says, tried again as often as a request: a JSON object that `has` a field, else all bytes.

        `unless` looks whether a try went through.
        """
        for attempt in range(self._config.retries + 1):
            done = unless() if unless is not None and attempt else None
            if done is not None:
                return done
            try:
                with self._client.stream(method, path, **content) as response:
                    reply = HttpReply(response, most=_MOST_RESULTS)
                    for piece in response.iter_raw():
                        reply.add(piece)
                if response.status_code == 404 and path.startswith("/batches/"):
                    return {"status": _GONE}
                if response.status_code in (401, 404):
                    raise refusal(self._config, response.status_code, reply.text[:SHOWN])
                said = f"HTTP {response.status_code}: {reply.text[:SHOWN]}"
                if response.is_success:
                    answered = bytes(reply.content) if has is None else reply.json()
                    if has is None or (isinstance(answered, dict) and has in answered):
                        return answered
                    said = f"no `{has}` in {said}"
                elif response.status_code < 500 and response.status_code != 429:
                    break
            except UnfitError as error:
                said = str(error)
                break
            except (httpx.HTTPError, json.JSONDecodeError) as error:
                said = f"{type(error).__name__}: {error}"
            if attempt < self._config.retries:
                self._wait()
        raise UserError(
            "an endpoint with `batch = true` speaks the batch API",
            got=f"{method} {self._config.url}{path}: {said}",
            remedy="run again if it was overloaded: batches that were sent are found; else set `batch = false`",
        )
