"""A model behind the OpenAI-compatible HTTP API, as an application that any ASGI server can run.

Requests are answered from one running batch (`live.py`); a client that goes away takes its samples along.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from jinja2 import TemplateError
from starlette.exceptions import HTTPException

from afterbase.core.errors import UserError
from afterbase.core.guard import Body, Guard, Refusal, Rules
from afterbase.core.names import LOOPBACK, Names
from afterbase.core.tokens import prompt_ids
from afterbase.model.load import LanguageModel
from afterbase.rollout.answering import Answering
from afterbase.rollout.engine import Sampling
from afterbase.rollout.in_process import stop_token_ids
from afterbase.rollout.live import LiveEngine
from afterbase.rollout.openai_api import AnyRequest, ApiError, ChatRequest, CompletionRequest

_COMPLETION_TOKENS = 16  # OpenAI's default for completions
_SEEDS = 2**63
_BODY = Body(
    most_bytes=4 << 20
)  # a context of 262,144 tokens as ids or as text; JSON is read in one go, as others wait


def create_app(
    lm: LanguageModel,
    *,
    name: str,
    token: str | None,
    max_rows: int,
    token_budget: int,
    digest: str | None = None,
    names: Names = LOOPBACK,
) -> FastAPI:
    """The application; `name` is the model's for clients, `token` what they have to bear, `digest` that of its folder,
    `names` what the server is known as.

    Raises UserError where the local engine cannot run the model.
    """
    live = LiveEngine(lm.model, max_rows=max_rows, token_budget=token_budget)
    stop_ids = stop_token_ids(lm)
    started = int(time.time())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        live.start()
        yield
        live.stop()

    rules = Rules(
        say=say,
        names=names,
        token=token,
        without_token=frozenset({"/health"}),
        bodies={"/v1/chat/completions": _BODY, "/v1/completions": _BODY},
    )
    app = FastAPI(title="afterbase", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, rules=rules)  # type: ignore[arg-type]  # ASGI's types are written in several ways
    app.add_exception_handler(ApiError, _say)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.add_exception_handler(HTTPException, _say_http)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        model = {"id": name, "object": "model", "created": started, "owned_by": "afterbase"}
        return {"object": "list", "data": [{**model, "max_model_len": live.context, "digest": digest}]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request, wanted: ChatRequest) -> Response:
        prompt = _chat_prompt(lm, wanted)
        limit = wanted.max_completion_tokens or wanted.max_tokens or max(1, live.context - len(prompt))
        return await answer(request, wanted, [prompt], limit)

    @app.post("/v1/completions")
    async def completions(request: Request, wanted: CompletionRequest) -> Response:
        prompts = [_prompt(lm, prompt) for prompt in wanted.prompts]
        return await answer(request, wanted, prompts, wanted.max_tokens or _COMPLETION_TOKENS)

    async def answer(request: Request, wanted: AnyRequest, prompts: list[list[int]], limit: int) -> Response:
        if wanted.model not in (None, name):
            raise ApiError(404, f"no model `{wanted.model}` here, only `{name}`", param="model", code="model_not_found")
        _refuse_long(prompts, limit, live.context)
        answering = Answering(lm.tokenizer, wanted, prompts, name=name, stop_ids=stop_ids)
        for index in range(len(prompts)):
            seed = secrets.randbelow(_SEEDS) if wanted.seed is None else wanted.seed
            sampling = Sampling(
                temperature=wanted.temperature, max_new_tokens=limit, stop_token_ids=stop_ids, seed=seed
            )
            live.submit(answering.ask(index, sampling))
        if wanted.stream:
            return StreamingResponse(_server_sent(answering), media_type="text/event-stream")
        return JSONResponse(await _unless_gone(request, answering))

    return app


def say(refusal: Refusal) -> tuple[str, bytes]:
    """What is refused before a request is read, in OpenAI's form."""
    error = ApiError(refusal.status, f"{refusal.rule}: {refusal.remedy}", code=refusal.code)
    return "application/json", json.dumps(error.body).encode()


def _chat_prompt(lm: LanguageModel, wanted: ChatRequest) -> list[int]:
    try:
        return prompt_ids(lm.tokenizer, [message.plain() for message in wanted.messages])
    except (UserError, TemplateError) as error:
        raise ApiError(400, f"the model's chat template refuses: {error}", param="messages") from None


def _prompt(lm: LanguageModel, prompt: str | list[int]) -> list[int]:
    ids = lm.tokenizer(prompt, verbose=False)["input_ids"] if isinstance(prompt, str) else prompt
    assert isinstance(ids, list)
    if not ids or not all(0 <= i < len(lm.tokenizer) for i in ids):
        rule = f"a prompt has one token or more, each from 0 to {len(lm.tokenizer) - 1}"
        raise ApiError(400, rule, param="prompt")
    return ids


def _refuse_long(prompts: list[list[int]], limit: int, context: int) -> None:
    longest = max(map(len, prompts))
    if longest + limit > context:
        raise ApiError(
            400,
            f"the model's context is {context} tokens: a prompt of {longest} leaves no room for max_tokens {limit}",
            param="max_tokens",
            code="context_length_exceeded",
        )


async def _server_sent(answering: Answering) -> AsyncIterator[str]:
    """Server-sent events; a client that goes away ends this in the middle, and with it the answers."""
    try:
        async for chunk in answering.chunks():
            yield f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n"
    except ApiError as error:
        yield f"data: {json.dumps(error.body)}\n\n"
        return
    finally:
        answering.abort()
    yield "data: [DONE]\n\n"


async def _unless_gone(request: Request, answering: Answering) -> dict[str, Any]:
    """The whole answer, or none for a client that is no longer there."""
    whole = asyncio.ensure_future(answering.whole())
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait([whole, gone], return_when=asyncio.FIRST_COMPLETED)
        if not whole.done():
            raise ApiError(499, "the client closed the connection")
        return whole.result()
    finally:
        answering.abort()
        whole.cancel()
        gone.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _say(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, status_code=error.status)


async def _say_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _say(request, ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}"))


async def _say_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()[0]
    kind, place = found["type"], ".".join(str(part) for part in found["loc"] if part != "body")
    if kind == "json_invalid":
        return await _say(request, ApiError(400, f"the body is no JSON, at character {place}", code=kind))
    param = found.get("ctx", {}).get("name") or place
    message = f"{param}: {found['msg']}" if place else found["msg"]
    if kind == "extra_forbidden":
        message = f"this server does not know the field `{param}`: leave it out"
    return await _say(request, ApiError(400, message, param=param or None, code=kind))
