"""Five steps of RL with a real vLLM and a real model, the server killed in between.

Asked for by AFTERBASE_VLLM_PYTHON, the interpreter of an environment that `afterbase serve-rollouts --prepare` made;
the model is the benchmarks' (`python benchmarks/smollm2.py`), or the folder AFTERBASE_VLLM_MODEL.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from afterbase.model.attention import Segments
from afterbase.model.load import load
from afterbase.rollout.engine import Completion, Sampling
from afterbase.rollout.vllm.vllm_engine import VllmEngine
from afterbase.train.logprobs import token_logps

PYTHON = os.environ.get("AFTERBASE_VLLM_PYTHON")
MODEL = Path(os.environ.get("AFTERBASE_VLLM_MODEL", Path(__file__).parents[2] / ".cache/smollm2")).absolute()
QUESTIONS = ["What is 17 plus 25?", "Name a colour.", "What is 17 plus 25?", "Write one sentence about the sea."]


class RealServer:
    def __init__(self, port: int) -> None:
        assert PYTHON
        command = [sys.executable, "-m", "afterbase", "serve-rollouts", str(MODEL), "--port", str(port)]
        environment = str(Path(PYTHON).parents[1])
        self.process = subprocess.Popen([*command, "--env", environment], stdout=subprocess.PIPE, text=True)

    def wait(self) -> str:
        """Its address, once it listens."""
        assert self.process.stdout
        told = next((line for line in self.process.stdout if line.startswith("rollouts at ")), None)
        assert told, "the server ended before it listened"
        return told.split()[2].rstrip(",")

    def kill(self) -> None:
        assert self.process.stdout
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="AFTERBASE_VLLM_PYTHON names no interpreter with vLLM")
@pytest.mark.skipif(not (MODEL / "config.json").is_file(), reason=f"no model in {MODEL}")
def test_five_steps_with_a_server_that_is_killed():
    lm = load(MODEL)
    prompts = [lm.tokenizer.encode(question) for question in QUESTIONS]
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=1e-5)
    generator = torch.Generator().manual_seed(0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers = [RealServer(port)]
    engine = VllmEngine(servers[0].wait(), lm)
    try:
        for step in range(5):
            temperature = (0.7, 1.0)[step % 2]
            sampling = Sampling(temperature=temperature, max_new_tokens=16, stop_token_ids=(2,), seed=step)
            engine.sync(step)
            finished = []
            for completion in engine.stream(prompts, samples=2, sampling=sampling):
                finished.append(completion)
                if step == 2 and len(servers) == 1:
                    servers[0].kill()
                    servers.append(RealServer(port))
            assert len(finished) == 8
            assert {c.weight_version for c in finished} == {step}
            logps = _logps(lm, prompts, finished, temperature)
            theirs = torch.tensor([logp for c in finished for logp in c.logps])
            assert (logps.detach() - theirs).abs().mean() < 1e-3
            sizes = torch.tensor([len(c.token_ids) for c in finished])
            advantages = torch.randn(len(finished), generator=generator).repeat_interleave(sizes)
            optimizer.zero_grad()
            (-(advantages * logps).mean()).backward()
            optimizer.step()
            with torch.no_grad():
                moved = (_logps(lm, prompts, finished, temperature) - logps).abs().mean()
            assert moved > 1e-2, "the weights before would have been noticed"
            print(f"step {step}: {len(theirs)} tokens, {(logps - theirs).abs().mean():.1g} nats, then {moved:.1g}")
    finally:
        engine.close()
        for server in servers:
            server.kill()


def _logps(lm, prompts: list[list[int]], completions: list[Completion], temperature: float) -> torch.Tensor:
    parts = []
    for completion in completions:
        prompt = prompts[completion.prompt_index]
        ids = torch.tensor([*prompt, *completion.token_ids])
        states = lm.hidden(ids, Segments.of([len(ids)]))[len(prompt) - 1 : -1]
        parts.append(token_logps(states, lm.head, ids[len(prompt) :], temperature=temperature))
    return torch.cat(parts)
