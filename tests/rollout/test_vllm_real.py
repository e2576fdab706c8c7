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
from afterbase.rollout.engine import Sampling
from afterbase.rollout.vllm import VllmEngine
from afterbase.train.losses.tokens import token_logps

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
        self.process.kill()
        self.process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="AFTERBASE_VLLM_PYTHON names no interpreter with vLLM")
@pytest.mark.skipif(not (MODEL / "config.json").is_file(), reason=f"no model in {MODEL}")
def test_five_steps_with_a_server_that_is_killed():
    lm = load(MODEL)
    prompts = [lm.tokenizer.encode(question) for question in QUESTIONS]
    optimizer = torch.optim.SGD(lm.model.parameters(), lr=0.05)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers = [RealServer(port)]
    engine = VllmEngine(servers[0].wait(), lm)
    try:
        for step in range(5):
            temperature = (0.7, 1.0)[step % 2]
            sampling = Sampling(temperature=temperature, max_new_tokens=24, stop_token_ids=(2,), seed=step)
            engine.sync(step)
            finished = []
            for completion in engine.stream(prompts, samples=4, sampling=sampling):
                finished.append(completion)
                if step == 2 and len(servers) == 1:
                    servers[0].kill()
                    servers.append(RealServer(port))
            assert len(finished) == 16
            assert {c.weight_version for c in finished} == {step}
            logps = torch.cat([_logps(lm, prompts[c.prompt_index], c.token_ids, temperature) for c in finished])
            theirs = torch.tensor([logp for c in finished for logp in c.logps])
            mismatch = (logps.detach() - theirs).abs().mean()
            print(f"step {step}, T {temperature}: {len(theirs)} tokens, mismatch {mismatch:.2g}")
            assert mismatch < 1e-3
            reward = torch.cat([torch.full((len(c.token_ids),), float(10 - len(c.token_ids))) for c in finished])
            optimizer.zero_grad()
            (-(reward / 10 * logps).mean()).backward()
            optimizer.step()
    finally:
        engine.close()
        for server in servers:
            server.kill()


def _logps(lm, prompt: list[int], token_ids: list[int], temperature: float) -> torch.Tensor:
    ids = torch.tensor([*prompt, *token_ids])
    states = lm.hidden(ids, Segments.of([len(ids)]))[len(prompt) - 1 : -1]
    return token_logps(states, lm.head, ids[len(prompt) :], temperature=temperature)
