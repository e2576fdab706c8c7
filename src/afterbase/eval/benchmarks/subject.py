"""Who is evaluated, or judges: a model folder or a shipped model in this process, or an endpoint over HTTP.

`http://HOST/v1` is the one model that is served there; of several, `http://HOST/v1#NAME` names one.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

import httpx

from afterbase.core.errors import UserError
from afterbase.rollout.chat_model import ChatModel
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig

_SECONDS = 3600.0  # one answer of thousands of tokens from a server on a CPU, behind others
_PROBE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that can be asked; `digest` of its weights where it is known, `context` in tokens likewise.

    `plain`: it has no chat template, and is asked for continuations. `url` and `model` are those of an endpoint.
    """

    name: str
    digest: str | None
    context: int | None
    plain: bool
    open: Callable[[Path], ChatModel]
    """Given the file for its answers."""
    url: str | None = None
    folder: Path | None = None
    """Of the model, if it is one in this process."""

    @property
    def label(self) -> str:
        """A name for files: who it is, and of which weights."""
        place = "" if self.url is None else f"-{urlsplit(self.url).netloc}"
        digest = "" if self.digest is None else f"-{self.digest[:12]}"
        return re.sub(r"[^\w.-]+", "_", f"{self.name}{place}{digest}")


def find_subject(spec: str, *, plain: bool = False, token_variable: str | None = None) -> Subject:
    """The model of this name, folder or URL; nothing is loaded yet.

    Raises UserError where there is none, and where an endpoint cannot be reached or serves several.
    """
    if re.match(r"https?://", spec):
        return _endpoint(spec, plain=plain, token_variable=token_variable)
    return _local(spec, plain=plain)


def _local(spec: str, *, plain: bool) -> Subject:
    from afterbase.core.store import folder_digest
    from afterbase.model.families import longest_sequence, read_config
    from afterbase.model.folders import find, tokenizer_of

    folder = find(spec)
    digest = folder_digest(folder)
    template = tokenizer_of(folder).chat_template

    context = longest_sequence(read_config(folder))

    def opened(cache: Path) -> ChatModel:
        from afterbase.model.load import load
        from afterbase.rollout.engine_model import EngineModel

        return EngineModel(load(folder), name=digest, context=context, as_served=True, cache=cache)

    return Subject(
        name=folder.resolve().name,
        digest=digest,
        context=context,
        plain=plain or not template,
        open=opened,
        folder=folder,
    )


def _endpoint(spec: str, *, plain: bool, token_variable: str | None) -> Subject:
    url, wanted = urldefrag(spec)
    url = url.rstrip("/")
    if not urlsplit(url).path:
        url += "/v1"
    model = _served(url, wanted, token_variable)
    config = EndpointConfig(
        url=url, model=model["id"], token_variable=token_variable, request_timeout=_SECONDS, max_concurrent=64
    )
    context = model.get("max_model_len")
    return Subject(
        name=model["id"],
        digest=model.get("digest"),
        context=context if isinstance(context, int) else None,
        plain=plain,
        open=lambda cache: Endpoint(config, cache=cache),
        url=url,
    )


def _served(url: str, wanted: str, token_variable: str | None) -> dict[str, Any]:
    """What the endpoint says of the model."""
    token = os.environ.get(token_variable, "") if token_variable else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        response = httpx.get(f"{url}/models", headers=headers, timeout=_PROBE_SECONDS)
        response.raise_for_status()
        listed = {str(model["id"]): model for model in response.json()["data"]}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        if wanted:  # a server need not list its models
            return {"id": wanted}
        raise UserError(
            "an endpoint tells of its models",
            got=f"{url}/models: {type(error).__name__}: {error}",
            remedy="start the server (afterbase serve MODEL), correct the URL, name the token's variable with "
            "--token-variable, or name the model: URL#NAME",
        ) from None
    if wanted or len(listed) == 1:
        name = wanted or next(iter(listed))
        return listed.get(name, {"id": name})
    raise UserError(
        "of several models at an endpoint one is named",
        got=f"{url} with {', '.join(sorted(listed)[:10]) or 'none'}",
        remedy=f"write {url}#NAME",
    )
