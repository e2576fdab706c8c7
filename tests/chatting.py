"""An OpenAI-compatible server on loopback whose model is a function of the prompt."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request

from loopback import served


@dataclass
class Chatting:
    """`url` names the model too; `prompts` are those that came."""

    url: str
    prompts: list[str] = field(default_factory=list)


@contextmanager
def chatting(name: str, answer: Callable[[str], str | dict[str, float]]) -> Iterator[Chatting]:
    """Serve `answer(prompt)`: a text, or the log-probabilities of the candidates for one token."""
    app = FastAPI()
    seen: list[str] = []

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name}]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        prompt = (await request.json())["messages"][-1]["content"]
        seen.append(prompt)
        said = answer(prompt)
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
        if isinstance(said, dict):
            top = [{"token": token, "logprob": logp} for token, logp in said.items()]
            choice["logprobs"] = {"content": [{"token": "?", "logprob": -1.0, "top_logprobs": top}]}
            said = "?"
        choice["message"] = {"role": "assistant", "content": said}
        return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": len(said.split())}}

    with served(app) as url:
        yield Chatting(f"{url}/v1", seen)
