"""A server that speaks the batch API, on loopback: files, batches that end after some looks, one line an answer."""

import email
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]] | None]


class BatchServer:
    """`answer` turns a request's body into a status and a body, None if the batch expires before.

    `paid` are the bodies that were answered; `faults` are statuses that the next calls get, by method and path, before
    the server does anything; with `lost` it does what it is asked, and says 500.
    """

    def __init__(self, answer: Answer, *, looks: int = 2, page: int = 100) -> None:
        self._answer = answer
        self._looks = looks
        self._page = page
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.paid: list[dict[str, Any]] = []
        self.faults: list[tuple[str, str, int]] = []
        self.lost: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.app = FastAPI()
        self.app.add_api_route("/v1/{path:path}", self._route, methods=["GET", "POST"])

    async def _route(self, path: str, request: Request) -> Response:
        self.calls.append(f"{request.method} /{path}")
        for fault in self.faults:
            if fault[:2] == (request.method, f"/{path}"):
                self.faults.remove(fault)
                return Response(f"status {fault[2]}", status_code=fault[2])
        said = self._said(request.method, path.split("/"), request, await request.body())
        if (request.method, f"/{path}") in self.lost:
            self.lost.remove((request.method, f"/{path}"))
            return Response("lost", status_code=500)
        if said is None:
            return Response("none such", status_code=404)
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        return Response(content, media_type="application/json")

    def _said(self, method: str, path: list[str], request: Request, body: bytes) -> Any:
        match method, path:
            case "POST", ["files"]:
                return self._take(request.headers["content-type"], body)
            case "GET", ["files", name, "content"]:
                return self.files.get(name)
            case "POST", ["batches"]:
                batch = {**json.loads(body), "id": f"batch_{len(self.batches)}", "status": "validating", "looks": 0}
                self.batches.append(batch)
                return batch
            case "GET", ["batches"]:
                after = request.query_params.get("after")
                ids = [batch["id"] for batch in self.batches]
                start = ids.index(after) + 1 if after else 0
                page = self.batches[start : start + self._page]
                return {"data": page, "has_more": start + self._page < len(ids)}
            case "GET", ["batches", name]:
                return next((self._look(batch) for batch in self.batches if batch["id"] == name), None)
        raise AssertionError(f"{method} {path}")

    def _take(self, kind: str, body: bytes) -> dict[str, Any]:
        message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        parts: dict[Any, Any] = {}
        for part in message.walk():
            parts[part.get_param("name", header="content-disposition")] = part.get_payload(decode=True)
        assert parts["purpose"] == b"batch"
        name = f"file_{len(self.files)}"
        self.files[name] = parts["file"]
        return {"id": name}

    def _look(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch["looks"] += 1
        if batch["looks"] >= self._looks and batch["status"] == "validating":
            batch |= self._end(batch)
        return batch

    def _end(self, batch: dict[str, Any]) -> dict[str, Any]:
        assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
        good, bad, expired = [], [], False
        for line in self.files[batch["input_file_id"]].splitlines():
            order = json.loads(line)
            assert (order["method"], order["url"]) == ("POST", "/v1/chat/completions")
            answered = self._answer(order["body"])
            if answered is None:
                expired = True
                continue
            self.paid.append(order["body"])
            response = {"status_code": answered[0], "body": answered[1]}
            (good if answered[0] == 200 else bad).append({"custom_id": order["custom_id"], "response": response})
        names = {}
        for kind, rows in (("output_file_id", good[::-1]), ("error_file_id", bad)):
            if rows:
                names[kind] = f"{kind}_{batch['id']}"
                self.files[names[kind]] = "".join(json.dumps(row) + "\n" for row in rows).encode()
        return {"status": "expired" if expired else "completed", **names}
