"""The rollout server that is shipped, on loopback, with a toy model instead of vLLM."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import DeepseekV3ForCausalLM

from afterbase.rollout.engine import Sampling
from afterbase.rollout.local import LocalEngine
from afterbase.rollout.vllm_server.serving import RefusedError, Server


class ToySampler:
    """The toy model in vLLM's place, one row after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = DeepseekV3ForCausalLM.from_pretrained(folder).eval()
        self.loads = 0
        self.asked: list[list[int]] = []

    def describe(self) -> dict[str, Any]:
        vocabulary = self.model.config.vocab_size
        return {"engine": "toy", "model": str(self.folder), "dtype": "float32", "vocabulary": vocabulary}

    def load(self, folder: Path) -> None:
        shutil.copy(self.folder / "config.json", folder)
        self.model = DeepseekV3ForCausalLM.from_pretrained(folder).eval()
        self.loads += 1

    def score(self, token_ids: list[int]) -> list[float]:
        with torch.no_grad():
            logps = self.model(torch.tensor([token_ids])).logits[0, :-1].log_softmax(-1)
        return logps.gather(1, torch.tensor(token_ids[1:])[:, None])[:, 0].tolist()

    def rollout(self, request: dict[str, Any], aborted: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
        if not all(request["prompts"]):
            raise RefusedError(400, "an empty prompt")
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
        super().__init__(("127.0.0.1", port), sampler, token)
        self._connections: list[Any] = []
        self._loops = [threading.Thread(target=self.serve), threading.Thread(target=self.serve_forever)]
        for thread in self._loops:
            thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, client_address) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def kill(self) -> None:
        """Let go of the port and of every connection, as the end of a process does."""
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            try:
                connection.shutdown(2)
            except OSError:
                continue  # closed already
        self.jobs.put(None)
