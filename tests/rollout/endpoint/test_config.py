"""What an endpoint is told to be: mistakes are refused before anything is sent."""

import pytest

from afterbase.core.errors import UserError
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from asking import config


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://host/v1", "http://", ""])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UserError, match="begins with http"):
        Endpoint(config(url))


@pytest.mark.parametrize("value", [None, ""])
def test_a_token_that_is_not_set_is_told(monkeypatch, value):
    monkeypatch.delenv("AFTERBASE_TEST_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("AFTERBASE_TEST_TOKEN", value)
    with pytest.raises(UserError, match="holds the endpoint's token") as raised:
        Endpoint(config("http://127.0.0.1:9/v1", token_variable="AFTERBASE_TEST_TOKEN"))
    assert "export AFTERBASE_TEST_TOKEN=" in raised.value.remedy


def test_a_token_in_the_place_of_its_variables_name_is_not_repeated():
    with pytest.raises(UserError, match="not the token") as raised:
        Endpoint(config("http://127.0.0.1:9/v1", token_variable="sk-c4nary"))
    assert "c4nary" not in str(raised.value)
