"""A model behind the OpenAI-compatible HTTP API, as an application that any ASGI server can run.

Requests are answered from one running batch (`serving_engine.py`); a client that goes away takes its samples along.
Whatever is wrong is said in OpenAI's form, our own faults with the name of their entry in the log.
"""

import asyncio
import json
import logging
import secrets
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from afterbase.core.http.allowed_hosts import LOOPBACK, AllowedHosts
from afterbase.core.http.json_pieces import json_text
from afterbase.core.http.request_guard import Body, Guard, Refusal, RequestLimits
from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.engine import Sampling
from afterbase.rollout.server.completions import CompletionResponse
from afterbase.rollout.server.incremental_text import TokenBytes
from afterbase.rollout.server.openai_api import AnyRequest, ApiError, ChatRequest, CompletionRequest
from afterbase.rollout.server.request_tokens import RequestValidator, ValidatedRequest
from afterbase.rollout.server.serving_engine import ServingEngine

_SEEDS = 2**63
T = TypeVar("T")
_log = logging.getLogger(__name__)
# A context of 262,144 tokens as ids or as text; JSON is read in one go, as others wait.
_BODY = Body(max_bytes=4 << 20, max_values=1 << 19)


def create_app(
    lm: LanguageModel,
    *,
    name: str,
    token: str | None,
    max_rows: int,
    token_budget: int,
    digest: str | None = None,
    names: AllowedHosts = LOOPBACK,
) -> FastAPI:
    """The application; `name` is the model's for clients, `token` what they have to bear, `digest` that of its folder,
    `names` what the server is known as.

    Raises UserError where the local engine cannot run the model.
    """
    api = _Api(lm, name=name, max_rows=max_rows, token_budget=token_budget, digest=digest)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        api.engine.start()
        yield
        api.engine.stop()
        api.validator.close()

    limits = RequestLimits(
        render_refusal=render_refusal,
        names=names,
        token=token,
        without_token=frozenset({"/health"}),
        bodies={"/v1/chat/completions": _BODY, "/v1/completions": _BODY},
    )
    app = FastAPI(title="afterbase", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, limits=limits)  # type: ignore[arg-type]  # ASGI's types are written in several ways
    app.add_exception_handler(ApiError, _send_refusal)
    app.add_exception_handler(HTTPException, _say_http)
    app.add_exception_handler(Exception, _say_fault)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [api.model]}

    @app.get("/v1/models/{asked:path}")
    async def one_model(asked: str) -> dict[str, Any]:
        if asked != name:
            raise ApiError(404, f"no model `{asked[:80]}` here, only `{name}`", code="model_not_found")
        return api.model

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await api.answer(request, ChatRequest)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return await api.answer(request, CompletionRequest)

    return app


class _Api:
    """One model's engine, and the way of a request through it."""

    def __init__(self, lm: LanguageModel, *, name: str, max_rows: int, token_budget: int, digest: str | None) -> None:
        self.engine = ServingEngine(lm.model, max_rows=max_rows, token_budget=token_budget)
        context = self.engine.context
        self.validator = RequestValidator(lm, name=name, context=context, prompt_tokens=token_budget)
        model = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "afterbase"}
        self.model = {**model, "max_model_len": context, "digest": digest}
        self._name = name
        self._token_bytes, self._stop_ids = TokenBytes(lm.tokenizer), stop_token_ids(lm)

    async def answer(self, request: Request, kind: type[AnyRequest]) -> Response:
        gone = threading.Event()
        try:
            body = await request.body()
            validated = await _unless_gone(request, self.validator.validate(kind, body, gone), gone.set)
            response = CompletionResponse(
                self._token_bytes, validated.request, validated.prompts, name=self._name, stop_ids=self._stop_ids
            )
            self._submit(validated, response)
            if validated.request.stream:
                return StreamingResponse(_server_sent(response), media_type="text/event-stream")
            try:
                whole = await _unless_gone(request, response.whole(), response.abort)
            finally:
                response.abort()
            return Response(await asyncio.to_thread(json_text, whole), media_type="application/json")
        except ClientDisconnect:
            raise _gone() from None
        except ApiError:
            raise
        except Exception as error:
            raise _fault(error) from error

    def _submit(self, validated: ValidatedRequest, response: CompletionResponse) -> None:
        asked = validated.request
        for index in range(len(validated.prompts)):
            sampling = Sampling(
                temperature=asked.temperature,
                max_new_tokens=validated.max_new_tokens,
                stop_token_ids=self._stop_ids,
                seed=secrets.randbelow(_SEEDS) if asked.seed is None else asked.seed,
            )
            self.engine.submit(response.sample_request(index, sampling))


def render_refusal(refusal: Refusal) -> tuple[str, bytes]:
    """What is refused before a request is read, in OpenAI's form."""
    error = ApiError(refusal.status, f"{refusal.rule}: {refusal.remedy}", code=refusal.code)
    return "application/json", json.dumps(error.body).encode()


async def _server_sent(response: CompletionResponse) -> AsyncIterator[str]:
    """Server-sent events; a client that goes away ends this in the middle, and with it the answers."""
    try:
        async for chunk in response.chunks():
            yield f"data: {json.dumps(chunk, separators=(',', ':'), allow_nan=False)}\n\n"
        yield "data: [DONE]\n\n"
    except ApiError as error:
        yield f"data: {json.dumps(error.body)}\n\n"
    except Exception as error:
        yield f"data: {json.dumps(_fault(error).body)}\n\n"
    finally:
        response.abort()


async def _unless_gone(request: Request, work: Awaitable[T], let_go: Callable[[], None]) -> T:
    """What comes of the work; for a client that is no longer there it is let go, and there is nothing to tell."""
    whole, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait([whole, gone], return_when=asyncio.FIRST_COMPLETED)
        if not whole.done():
            raise _gone()
        return whole.result()
    finally:
        if not whole.done():
            let_go()
        whole.cancel()
        gone.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _gone() -> ApiError:
    return ApiError(499, "the client closed the connection")


def _fault(error: Exception) -> ApiError:
    """Our own fault: told in full in the log, and to the client by the name of that entry."""
    entry = secrets.token_hex(6)
    _log.error("fault %s: %s", entry, sanitized(masked("".join(traceback.format_exception(error)))))
    return ApiError(500, f"this server failed at the request: its log tells more under {entry}", code="internal_error")


async def _send_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, status_code=error.status)


async def _say_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "unknown_url" if error.status_code == 404 else None
    said = ApiError(error.status_code, f"{request.method} {request.url.path[:200]}: {error.detail}", code=code)
    return JSONResponse(said.body, status_code=error.status_code, headers=error.headers)


async def _say_fault(request: Request, error: Exception) -> Response:
    return await _send_refusal(request, _fault(error))
