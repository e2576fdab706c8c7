"""A hub on loopback: as much of Hugging Face's HTTP API as `upload_folder` and `snapshot_download` speak, in memory."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"
MAIN = "main"


class Hub:
    """Repositories by kind and name: `files` of their newest commit, and whether others may read them."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.url = ""

    def put(self, kind: str, name: str, files: dict[str, bytes]) -> None:
        self.files[f"{kind}/{name}"], self.private[f"{kind}/{name}"] = dict(files), False

    def commit(self, repo: str) -> str:
        content = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in self.files[repo].items()})
        return hashlib.sha1(content.encode()).hexdigest()


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that is served until the end of the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def do_PUT(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            body = self._body()
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if path == "/api/whoami-v2":
                self._json({"name": "org"}) if known else self._refuse(401, "")
            elif path.startswith("/objects/") and self.command == "PUT":
                hub.objects[path.rpartition("/")[2]] = body
                self._json({})
            elif self.command == "POST":
                self._write(path, body) if known else self._refuse(401, "")
            else:
                self._read(path, known)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def _write(self, path: str, body: bytes) -> None:
            if path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"models/{asked['organization']}/{asked['name']}"
                hub.files.setdefault(repo, {})
                hub.private.setdefault(repo, asked.get("visibility") == "private")
                self._json({"url": f"{hub.url}/{repo.removeprefix('models/')}"})
            elif path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif path.endswith("/preupload/main"):
                asked = json.loads(body)["files"]
                modes = {True: "lfs", False: "regular"}
                self._json({"files": [
                    {"path": f["path"], "uploadMode": modes[f["path"].endswith(".safetensors")], "shouldIgnore": False}
                    for f in asked
                ]})  # fmt: skip
            elif path.endswith("/info/lfs/objects/batch"):
                objects = json.loads(body)["objects"]
                self._json({"transfer": "basic", "objects": [
                    {**o, "actions": {"upload": {"href": f"{hub.url}/objects/{o['oid']}"}}} for o in objects
                ]})  # fmt: skip
            elif found := re.fullmatch(r"/api/(models/[^/]+/[^/]+)/commit/main", path):
                self._commit(found[1], [json.loads(line) for line in body.splitlines()])
            else:
                self._refuse(404, "")

        def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
            for value in (line["value"] for line in lines if line["key"] == "file"):
                hub.files[repo][value["path"]] = base64.b64decode(value["content"])
            for value in (line["value"] for line in lines if line["key"] == "lfsFile"):
                data = hub.objects[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"]
                hub.files[repo][value["path"]] = data
            self._json({"commitOid": hub.commit(repo), "commitUrl": f"{hub.url}/{repo}/commit/{hub.commit(repo)}"})

        def _read(self, path: str, known: bool) -> None:
            info = re.fullmatch(r"/api/((?:model|dataset)s/[^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
            file = re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            named = info[1] if info else file[1] if file else ""
            repo = named if info or named.startswith("datasets/") else f"models/{named}"
            if repo not in hub.files or (hub.private[repo] and not known):
                self._refuse(404 if known else 401, "RepoNotFound")
                return
            commit = hub.commit(repo)
            revision = (info[3] if info else file[2] if file else None) or MAIN
            if revision not in (MAIN, commit):
                self._refuse(404, "RevisionNotFound")
            elif info and info[2] == "tree":
                self._json([_entry(name, data) for name, data in hub.files[repo].items()])
            elif info:
                self._json({"id": named.split("/", 1)[1], "sha": commit, "siblings": [], "private": hub.private[repo]})
            elif file and file[3] in hub.files[repo]:
                data = hub.files[repo][file[3]]
                self._send(200, data, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})
            else:
                self._refuse(404, "EntryNotFound")

        def _json(self, value: Any) -> None:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _refuse(self, status: int, code: str) -> None:
            self._send(status, b"{}", {"X-Error-Code": code} if code else {})

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
