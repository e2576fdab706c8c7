"""Secrets are masked by value and by form, wherever a message quotes what it got; all else stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.secret_masking import MASK, hide, holds_password, masked

CANARY = "c4nary-9f83ab"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{CANARY}@host/db",
        f"postgresql+psycopg://user:{CANARY}@[::1]:5432/db?connect_timeout=5",
        f"postgresql://:{CANARY}@host/db",
        f"https://user:{CANARY}/with@and@host/v1",
        f"https://user:12{CANARY}@host",
        f"`https://user:{CANARY}@host/v1` and more@example.org",
        f"https://host/v1?api-key={CANARY}&x=1",
        f"https://host/v1?x=1&access_token={CANARY}",
        f"https://host/v1?sig={CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"'authorization': 'Basic {CANARY}'",
        f"Incorrect API key provided: sk-proj-{CANARY}-{CANARY}.",
        f"hf_{CANARY.replace('-', '')}{CANARY.replace('-', '')}",
    ],
)
def test_secrets_are_known_by_their_form(text: str) -> None:
    assert CANARY not in masked(text)
    assert CANARY.replace("-", "") not in masked(text)
    assert MASK in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "http://127.0.0.1:8000 and ada@example.org",
        "postgresql://user@host/name",
        "add --token TOKEN (or set the variable that --help names)",
        "send the header Authorization: Bearer TOKEN",
        "SHA-256 " + "0123456789abcdef" * 4,
        "task-0123456789abcdefghij",
        "`keys` = 3, tokens 17",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def test_secrets_of_the_environment_are_known_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_TOKEN", "OPENAI_API_KEY", "PGPASSWORD", "aws_secret_access_key"):
        monkeypatch.setenv(name, CANARY)
        assert masked(f"the server said: {CANARY}!") == f"the server said: {MASK}!"
        monkeypatch.delenv(name)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "whatever-it-is")
    monkeypatch.setenv("A_TOKEN", "short")
    assert masked("short whatever-it-is") == "short whatever-it-is"


def test_secrets_that_were_read_under_another_name_are_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afterbase.core.secret_masking._hidden", set())
    assert hide("another-canary") == "another-canary"
    assert masked("an another-canary sang") == f"an {MASK} sang"


def test_an_error_never_quotes_a_secret() -> None:
    error = UserError(f"x://u:{CANARY}@h", got=f"x://u:{CANARY}@h", remedy=f"x://u:{CANARY}@h")
    assert CANARY not in "".join((str(error), error.rule, error.got, error.remedy, repr(error.args)))


def test_addresses_with_a_password_are_told_from_others() -> None:
    assert holds_password(f"postgresql://user:{CANARY}@host/db")
    assert holds_password(f"https://user:{CANARY}/x@host/db")
    for text in ("postgresql://user@host/db", "http://127.0.0.1:80/v1", "a: b@c", "://", "http://[::1", ""):
        assert not holds_password(text)


@given(st.text(max_size=60))
def test_masking_takes_any_text_and_is_done_once(text: str) -> None:
    assert masked(masked(text)) == masked(text)


@given(st.text(st.characters(categories=["L", "N"]), min_size=1), st.text(st.characters(categories=["L", "N"])))
def test_no_password_survives_in_a_url(user: str, rest: str) -> None:
    assert CANARY not in masked(f"postgresql://{user}:{CANARY}{rest}@host/db")
