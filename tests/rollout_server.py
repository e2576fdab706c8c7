"""The rollout server that is shipped, on loopback, with a toy model instead of vLLM."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import DeepseekV3ForCausalLM

from afterbase.core.http.connections import GuardedConnection
from afterbase.core.http.http_server import bind, server
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.vllm.vllm_server.serving import Server, render_refusal


class ToySampler:
    """The toy model in vLLM's place, one row after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = DeepseekV3ForCausalLM.from_pretrained(folder).eval()
        self.loads = 0
        self.asked: list[list[int]] = []

    def describe(self) -> dict[str, Any]:
        vocabulary = self.model.config.vocab_size
        shape = {"vocabulary": vocabulary, "context": self.model.config.max_position_embeddings}
        return {"engine": "toy", "model": str(self.folder), "dtype": "float32", **shape}

    def load(self, folder: Path) -> None:
        shutil.copy(self.folder / "config.json", folder)
        self.model = DeepseekV3ForCausalLM.from_pretrained(folder).eval()
        self.loads += 1

    def score(self, token_ids: list[int]) -> list[float]:
        with torch.no_grad():
            logps = self.model(torch.tensor([token_ids])).logits[0, :-1].log_softmax(-1)
        return logps.gather(1, torch.tensor(token_ids[1:])[:, None])[:, 0].tolist()

    def rollout(self, request: dict[str, Any], aborted: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
        self.asked = request["rows"]
        for prompt, sample, seed in request["rows"]:
            sampling = Sampling(
                temperature=request["temperature"],
                max_new_tokens=request["max_new_tokens"],
                stop_token_ids=tuple(request["stop_token_ids"]),
                seed=seed,
            )
            ((ended,),) = LocalEngine(self.model).generate([request["prompts"][prompt]], samples=1, sampling=sampling)
            yield None
            row = {"prompt": prompt, "sample": sample}
            if aborted():
                yield {**row, "token_ids": ended.token_ids[:1], "logps": ended.logps[:1], "finish": "abort"}
            else:
                yield {**row, "token_ids": ended.token_ids, "logps": ended.logps, "finish": str(ended.finish)}


class Running(Server):
    """A server on threads, that can be killed."""

    def __init__(self, sampler: ToySampler, *, port: int = 0, token: str | None = None) -> None:
        super().__init__(sampler, token)
        self.toy = sampler
        self._listener = bind("127.0.0.1", port, token=None)
        self._listener.listen()
        self.server_port = self._listener.getsockname()[1]
        self._uvicorn = server(self.app, render_refusal=render_refusal, header_seconds=2.0, linger_seconds=1.0)
        self._serving = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._listener]})
        self._serving.start()
        threading.Thread(target=self.serve).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def kill(self) -> None:
        """Let go of the port and of every connection, as the end of a process does."""
        self._uvicorn.force_exit = self._uvicorn.should_exit = True
        for connection in list(self._uvicorn.server_state.connections):
            assert isinstance(connection, GuardedConnection)
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile, and its loop is closed
                connection.loop.call_soon_threadsafe(connection.cut)
        self._serving.join()
        self.jobs.put(None)
