"""What an endpoint is, its token, and what is said when it refuses everything."""

import os
import re
from typing import Annotated

from annotated_types import Ge, Gt

from afterbase.core.config import Config, How
from afterbase.core.errors import UserError
from afterbase.core.secret_masking import hide

SHOWN = 500  # characters of what a server says


class EndpointConfig(Config):
    """An endpoint: `url` up to and including `/v1`, the model's name there.

    `token_variable` names the environment variable that holds the token. `request_timeout` bounds one attempt,
    `deadline` all requests of a call together, both in seconds; `first_wait` is the wait before the first of `retries`
    further attempts.
    """

    url: How[str]
    """The address, up to and including `/v1`."""
    model: str
    """The model's name there."""
    token_variable: How[str | None] = None
    """The environment variable that holds the token; none: no token is sent."""
    max_concurrent: How[Annotated[int, Ge(1)]] = 32
    """Requests that are under way at once."""
    request_timeout: How[Annotated[float, Gt(0)]] = 300.0
    """Seconds of one attempt at most."""
    deadline: How[Annotated[float, Gt(0)] | None] = None
    """Seconds of all requests of a call together; none: no limit."""
    retries: How[Annotated[int, Ge(0)]] = 6
    """Further attempts of a request that failed for a while."""
    first_wait: How[Annotated[float, Ge(0)]] = 1.0
    """Seconds before the first further attempt; each wait is twice the one before."""
    batch: How[bool] = False
    """By the provider's batch API (`batch_api.py`); prices are then those of batches."""
    poll_seconds: How[Annotated[float, Ge(0)]] = 30.0
    """Between two looks at a batch, and before a call of its API is tried again."""


def headers(config: EndpointConfig) -> dict[str, str]:
    """What goes with every request. Raises UserError where the URL is none or the token's variable is not set."""
    if not re.match(r"https?://[^/]", config.url):
        raise UserError(
            "an endpoint's `url` begins with http:// or https://",
            got=f"`{config.url}`",
            remedy="write it up to and including /v1, such as http://127.0.0.1:8000/v1",
        )
    kind = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate"}  # those that `http_reply.py` bounds
    if config.token_variable is None:
        return kind
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", config.token_variable):
        raise UserError(
            "`token_variable` is the name of an environment variable, not the token",
            got="a text that is no such name",
            remedy='write a name, such as token_variable = "MY_TOKEN", and put the token into that variable',
        )
    token = hide(os.environ.get(config.token_variable, ""))
    if not token:
        raise UserError(
            "`token_variable` names an environment variable that holds the endpoint's token",
            got=f"`{config.token_variable}`, which is not set",
            remedy=f"export {config.token_variable}=..., or leave `token_variable` out if {config.url} wants none",
        )
    return {**kind, "Authorization": f"Bearer {token}"}


def refusal(config: EndpointConfig, status: int, said: str) -> UserError:
    """The error for a status that all requests would get: 401, 404."""
    if status == 404:
        rule = "an endpoint has to know the model and the path"
        remedy = f"look up the model's name at {config.url}/models, and end `url` in /v1 if the server wants it"
    else:
        variable = config.token_variable
        rule = "an endpoint has to accept the token"
        remedy = f"put a valid one into {variable}" if variable else "name the token's variable in `token_variable`"
    return UserError(rule, got=f"HTTP {status} for model `{config.model}`: {said}", remedy=remedy)
