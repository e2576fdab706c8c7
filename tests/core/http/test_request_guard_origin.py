"""Who may ask, under which name, and from which page, over real sockets."""

import resource
from collections.abc import Iterator

import httpx
import pytest

from afterbase.core.http.request_guard import (
    is_authorized,
)
from guarded_toy import SESAME, Toy, post
from raw import exchange, status


@pytest.mark.parametrize(
    ("authorization", "token", "admitted"),
    [
        ("Bearer sesame", "sesame", True),
        ("bearer sesame", "sesame", True),
        ("Bearer other", "sesame", False),
        ("Basic sesame", "sesame", False),
        ("sesame", "sesame", False),
        ("", "sesame", False),
        ("Bearer sésame", "sesame", False),
        ("", None, True),
    ],
)
def test_a_request_bears_the_token_or_none_is_wanted(authorization: str, token: str | None, admitted: bool) -> None:
    assert is_authorized(authorization, token) is admitted


def test_the_token_is_asked_for_everywhere_but_where_it_is_not(url: str, toy: Toy) -> None:
    for path in ("/take", "/", "/nowhere", "/health/../take"):
        answer = httpx.get(url + path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.get(f"{url}/health").status_code == 200
    assert post(url).text == "2"
    assert [path for path, _ in toy.seen] == ["/health", "/take"]


def test_a_body_without_a_token_is_never_read(url: str, toy: Toy) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def pieces() -> Iterator[bytes]:
        for _ in range(150):
            yield bytes(1 << 20)

    for headers in ({}, {"Content-Length": str(150 << 20)}):  # in chunks, and of a stated length
        with httpx.Client() as client:
            answer = client.post(
                f"{url}/take", content=pieces(), headers={"Content-Type": "application/json", **headers}
            )
        assert (answer.status_code, answer.headers["connection"]) == (401, "close")
    assert toy.seen == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10, "KiB; the bodies are 300 MiB"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "192.0.2.1", "a b", ""])
def test_a_name_that_is_not_ours_is_refused_on_every_path(url: str, toy: Toy, host: str) -> None:
    for path in ("/take", "/health"):
        assert status(exchange(url, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())) in (400, 421)
    assert post(url, headers={"Host": "evil.example"}).json() == {"error": "unknown_host"}
    assert toy.seen == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_others_change_nothing(url: str, toy: Toy, headers: dict[str, str]) -> None:
    assert post(url, headers=headers).json() == {"error": "foreign_origin"}
    assert httpx.request("DELETE", url, headers={**SESAME, **headers}).status_code == 403
    assert toy.seen == []


def test_pages_of_ours_may(url: str) -> None:
    assert post(url, headers={"Origin": url, "Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x"])
def test_what_a_web_page_can_send_without_asking_is_not_taken(url: str, toy: Toy, kind: str) -> None:
    assert post(url, headers={"Content-Type": kind}).status_code == 415
    assert post(url, headers={"Content-Type": f"{kind}; charset=application/json"}).status_code == 415
    assert toy.seen == []


def test_json_has_several_names_and_no_coding(url: str) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/problem+json"):
        assert post(url, headers={"Content-Type": kind}).status_code == 200
    assert post(url, headers={"Content-Encoding": "gzip"}).status_code == 415
