"""Random requests at the four servers, over real sockets: each is answered in the server's own form, and none harms it.

A case is a whole request: bytes that are nearly HTTP, or a body that is nearly right. After each the server still
answers what it answers in health.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import strategies as st

from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_tables import secret_of
from afterbase.data.review.web import review_app
from afterbase.data.review.web.access import form_word, token
from afterbase.rollout.server.app import create_app as chat_app
from afterbase.sandbox import server as sandbox_app
from afterbase.sandbox.programs import ProgramRunner
from afterbase.sandbox.python_calls import CallRunner
from confinements import SMALL, confinement_or_skip
from fuzz_requests import JSON, RAW_CHATS, RAW_COMPLETIONS, TEXTS, in_form, raw
from loopback import served
from raw import exchange
from review_toys import draft, review_store
from rollout_server import Running, ToySampler

pytestmark = pytest.mark.fuzz


class Request(NamedTuple):
    """A path, and a body as it is sent."""

    path: str
    body: bytes


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([
            b"Host", b"Origin", b"Content-Length", b"Transfer-Encoding", b"Content-Type", b"Authorization",
            b"Content-Encoding", b"Expect", b"Connection", b"Cookie", b"Upgrade", b"X", b"\x00", b"a b",
        ]),
        st.sampled_from([
            b"localhost", b"evil.example", b"null", b"http://evil.example", b"-1", b"0", b"5", b"99999999999", b"1e3",
            b"chunked", b"gzip", b"application/json", b"text/plain", b"Bearer x", b"100-continue", b"close",
            b"keep-alive", b"websocket", b"\xff", b"", b"a" * 20_000,
        ]) | st.binary(max_size=12),
    ),
    max_size=5,
)  # fmt: skip
PATHS = st.sampled_from(
    [b"/", b"/health", b"/v1/models", b"/v1/chat/completions", b"/generate", b"/update", b"/programs", b"/calls",
     b"/chat/review", b"/sign-in", b"/%00", b"/../x", b"*", b"http://evil.example/", b"/" + b"x" * 5000]
)  # fmt: skip
METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"OPTIONS", b"CONNECT", b"HEAD", b"get", b"\x16\x03", b""])


@st.composite
def nearly_http(draw: st.DrawFn) -> bytes:
    """A request by hand; its connection is asked to end, so that the answer has an end."""
    head = b"%s %s HTTP/%s\r\n" % (draw(METHODS), draw(PATHS), draw(st.sampled_from([b"1.1", b"1.0", b"2", b"9"])))
    lines = b"".join(b"%s: %s\r\n" % header for header in draw(HEADERS))
    end = draw(st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n\n", b""]))
    body = draw(st.binary(max_size=40) | st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"fffffff\r\n", b"-1\r\n"]))
    return head + b"Connection: close\r\n" + lines + end + body


def refused_in_words(answer: bytes) -> bool:
    """Whether a raw answer is none, or one that says no more than it should: never a 500, never a trace."""
    return not re.search(rb"^HTTP/1\.1 500", answer, re.MULTILINE) and b"Traceback" not in answer


@contextmanager
def rollouts(folder: Path) -> Iterator[str]:
    running = Running(ToySampler(folder), token=None)
    try:
        yield running.url
    finally:
        running.kill()


@contextmanager
def reviews(folder: Path) -> Iterator[str]:
    store = review_store(folder, [draft(i, value=0.5) for i in range(10)], Review(double=1))
    store.add_reviewer("ada", adjudicates=False)
    with served(review_app.create_app(store), header_seconds=0.5) as url:
        yield url
    store.engine.dispose()


@pytest.fixture(params=["serve", "serve-rollouts", "serve-sandbox", "review"])
def server(request, toy_lm, toy_folder, tmp_path) -> Iterator[str]:
    """The URL of one of the four, on a toy."""
    match request.param:
        case "serve":
            app = chat_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=50_000)
            with served(app, header_seconds=0.5) as url:
                yield url
        case "serve-rollouts":
            with rollouts(toy_folder) as url:
                yield url
        case "serve-sandbox":
            with CallRunner(workers=1) as sandbox:
                app = sandbox_app.create_app(
                    ProgramRunner(confinement=confinement_or_skip(), limits=SMALL), sandbox, token=None
                )
                with served(app, header_seconds=0.5) as url:
                    yield url
        case _:
            with reviews(tmp_path) as url:
                yield url


def alive(url: str) -> bool:
    """Whether some path is still answered as in health."""
    return any(httpx.get(f"{url}{path}").status_code == 200 for path in ("/health", "/v1/models", "/state", "/sign-in"))


def test_nearly_http_is_answered_or_ended(server, for_a_while) -> None:
    host = urlsplit(server).netloc.encode()

    def check(request: bytes) -> None:
        assert refused_in_words(exchange(server, request.replace(b"localhost", host)))
        assert alive(server)

    for_a_while(check, nearly_http())


def test_bodies_of_the_chat_api_are_answered_in_its_form(toy_lm, for_a_while) -> None:
    with (
        served(chat_app(toy_lm, name="toy", token=None, max_rows=8, token_budget=50_000)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):

        def check(request: Request) -> None:
            answer = client.post(request.path, content=request.body, headers={"Content-Type": "application/json"})
            assert in_form(answer.status_code, answer.content), (request, answer.status_code, answer.content)

        chats = RAW_CHATS.map(lambda body: Request("/v1/chat/completions", body))
        texts = RAW_COMPLETIONS.map(lambda body: Request("/v1/completions", body))
        for_a_while(check, chats | texts)


ROLLOUTS = st.fixed_dictionaries(
    {
        "version": st.sampled_from([0, 1, None]) | JSON,
        "sha256": st.just("0" * 64) | JSON,
        "prompts": st.lists(st.lists(st.integers(-1, 500), max_size=4), max_size=3) | JSON,
        "rows": st.lists(st.lists(st.integers(-1, 3), max_size=4), max_size=3) | JSON,
        "temperature": st.sampled_from([0, 1.0, 1e-45, -1]) | JSON,
        "max_new_tokens": st.integers(-1, 4) | JSON,
        "stop_token_ids": st.lists(st.integers(-1, 500), max_size=3) | JSON,
    },
    optional={"token_ids": st.lists(st.integers(-1, 500), max_size=4) | JSON},
)


def test_bodies_of_the_rollout_server_are_refused_in_words(toy_folder, for_a_while) -> None:
    with rollouts(toy_folder) as url, httpx.Client(base_url=url, timeout=60) as client:

        def check(request: Request) -> None:
            kind = "application/octet-stream" if request.path.startswith("/update") else "application/json"
            answer = client.post(request.path, content=request.body, headers={"Content-Type": kind})
            assert 400 <= answer.status_code < 500, (request, answer.content)
            assert answer.json()["error"]
            assert alive(url)

        asked = raw(ROLLOUTS).flatmap(lambda body: st.sampled_from(["/generate", "/score"]).map(
            lambda path: Request(path, body)
        ))  # fmt: skip
        updates = st.tuples(st.integers(-1, 3), st.text("0123456789abcdef", max_size=64), st.binary(max_size=64)).map(
            lambda d: Request(f"/update?version={d[0]}&sha256={d[1]}", d[2])
        )
        for_a_while(check, asked | updates)


PROGRAMS = st.fixed_dictionaries(
    {
        "language": st.sampled_from(["python", "bash", "no such"]) | JSON,
        "program": st.sampled_from(["print(1)", "import os; os.abort()", "\ud800", "\0"]) | TEXTS | JSON,
        "tests": st.lists(st.fixed_dictionaries({"stdin": TEXTS | JSON, "stdout": st.just("1") | JSON}), max_size=2)
        | JSON,
    },
    optional={"scoring": st.sampled_from(["all", "fraction"]) | JSON, "x": JSON},
)
CALLS = st.fixed_dictionaries(
    {
        "program": st.sampled_from(["def f(*a): return a", "def f(*a): import os; os._exit(0)", "f = 1"])
        | TEXTS
        | JSON,
        "function": st.just("f") | JSON,
        "calls": st.lists(st.lists(JSON, max_size=2), max_size=3) | JSON,
    }
)


def test_bodies_of_the_sandbox_are_judged_or_refused(for_a_while) -> None:
    with CallRunner(workers=1) as sandbox:
        app = sandbox_app.create_app(
            ProgramRunner(confinement=confinement_or_skip(), limits=SMALL), sandbox, token=None
        )
        with served(app) as url, httpx.Client(base_url=url, timeout=60) as client:

            def check(request: Request) -> None:
                answer = client.post(request.path, content=request.body, headers={"Content-Type": "application/json"})
                assert answer.status_code == 200 or 400 <= answer.status_code < 500, (request, answer.content)
                json.loads(answer.content)

            programs = raw(PROGRAMS).map(lambda body: Request("/programs", body))
            calls = raw(CALLS).map(lambda body: Request("/calls", body))
            for_a_while(check, programs | calls)


def test_forms_of_the_review_app_are_refused_in_words(tmp_path, for_a_while) -> None:
    store = review_store(tmp_path, [draft(i, value=0.5) for i in range(10)], Review(double=1))
    store.add_reviewer("ada", adjudicates=False)
    secret = secret_of(store.engine)
    fields = st.dictionaries(
        st.sampled_from(["outcome", "reason", "edited", "word", "verdict", "of", "token", "item"]) | TEXTS,
        st.sampled_from(["accept", "edit", "reject", "skip", "1", "-1", form_word(secret, store.run, "ada"), "9" * 40])
        | TEXTS,
        max_size=6,
    )
    paths = st.sampled_from(
        ["/sign-in", "/sign-out", "/chat/review/1", "/chat/review/-1", "/chat/review/x", "/chat/conflicts/1",
         "/chat/undo", "/nowhere/undo", "/chat/review/99999999999999999999"]
    )  # fmt: skip
    with served(review_app.create_app(store)) as url, httpx.Client(base_url=url, timeout=60) as client:
        client.post("/sign-in", data={"token": token(secret, store.run, "ada")})

        def check(case: tuple[str, dict[str, str]]) -> None:
            path, form = case
            sent = {key: value.encode("utf-8", "surrogatepass") for key, value in form.items()}
            keys = {key.encode("utf-8", "surrogatepass"): value for key, value in sent.items()}
            answer = client.post(path, data=keys)  # type: ignore[arg-type]  # bytes are sent as they are
            assert answer.status_code < 500, (case, answer.content)

        for_a_while(check, st.tuples(paths, fields))
    store.engine.dispose()
