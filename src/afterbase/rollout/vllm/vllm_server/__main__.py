"""vLLM behind the requests of `serving.py`; run as `python FOLDER MODEL` by an interpreter that has vLLM.

The token that clients must show is the environment variable AFTERBASE_ROLLOUT_TOKEN. Where there is none, one is made,
printed, and kept in a file that clients of the same user on this machine find; it is the same at the next start.

What vLLM says of repeatable samples: each has a generator of its own, seeded by the request, so the numbers drawn do
not depend on the batch. The logits do, in their last digits, so a sample may take another token where the two were
nearly as likely; only the same requests in the same order on the same machine give the same bytes.
"""

import argparse
import itertools
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if not __package__:  # run as a folder: `afterbase` is these files alone, and nothing else of our environment
    _package = types.ModuleType("afterbase")
    _package.__path__ = [str(Path(__file__).resolve().parents[3])]
    sys.modules["afterbase"] = _package

from afterbase.core.errors import UserError
from afterbase.core.http.allowed_hosts import allowed_hosts
from afterbase.core.http.http_server import bind, server, url_of
from afterbase.core.private_files import kept_token, make_token
from afterbase.rollout.vllm.vllm_server.serving import RefusedError, Server, render_refusal

_MADE = "made, where none is set"
_LEAST_TEMPERATURE = 0.01  # vLLM raises what is below to this, and 0 means greedy
_DEFAULTS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process: a kill leaves nothing behind, and weights need no copy
    "VLLM_CPU_KVCACHE_SPACE": "4",  # GiB
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class VllmSampler:
    """One vLLM engine in this process, float32 unless told otherwise, log-probabilities after temperature."""

    def __init__(self, model: str, *, dtype: str) -> None:
        from vllm.engine.arg_utils import EngineArgs  # pyright: ignore[reportMissingImports]
        from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]
        from vllm.v1.engine.llm_engine import LLMEngine  # pyright: ignore[reportMissingImports]
        from vllm.version import __version__  # pyright: ignore[reportMissingImports]

        settings = EngineArgs(
            model=model,
            dtype=dtype,
            skip_tokenizer_init=True,
            logprobs_mode="processed_logprobs",
            generation_config="vllm",  # no sampling settings but the request's
            enable_prefix_caching=True,
            # On the CPU vLLM 0.32 ends with an error where a prompt of a seeded request is read in two steps.
            enable_chunked_prefill=not current_platform.is_cpu(),
            enforce_eager=True,
            disable_log_stats=True,
        )
        self._engine = LLMEngine.from_engine_args(settings)
        self._served = {"engine": f"vllm {__version__}", "model": model}
        self._numbers = itertools.count()

    def describe(self) -> dict[str, Any]:
        config = self._engine.model_config
        return {
            **self._served,
            "dtype": str(config.dtype).removeprefix("torch."),
            "vocabulary": config.get_vocab_size(),
            "context": config.max_model_len,
        }

    def load(self, folder: Path) -> None:
        try:
            self._engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        except (ValueError, KeyError, AssertionError, RuntimeError) as error:
            raise RefusedError(422, f"vLLM cannot load these weights: {type(error).__name__}: {error}") from None
        self._engine.apply_model(repack_tied_head)
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("the prefix cache of the old weights is still in use")

    def score(self, token_ids: list[int]) -> list[float]:
        self._add("score", token_ids, temperature=0.0, max_tokens=1, prompt_logprobs=0)
        (output,) = [output for outputs in self._steps() for output in outputs if output.finished]
        return [at[token].logprob for at, token in zip(output.prompt_logprobs[1:], token_ids[1:], strict=True)]

    def rollout(self, request: dict[str, Any], aborted: Callable[[], bool]) -> Iterator[dict[str, Any] | None]:
        if 0 < request["temperature"] < _LEAST_TEMPERATURE:
            raise RefusedError(400, f"vLLM samples at a temperature of at least {_LEAST_TEMPERATURE}, or greedily at 0")
        self._refuse_length(request["prompts"])
        running: dict[str, dict[str, Any]] = {}
        for prompt, sample, seed in request["rows"]:
            name = self._add(
                f"{prompt}-{sample}",
                request["prompts"][prompt],
                seed=seed,
                temperature=request["temperature"],
                max_tokens=request["max_new_tokens"],
                stop_token_ids=request["stop_token_ids"],
                logprobs=0,
            )
            running[name] = {"prompt": prompt, "sample": sample, "token_ids": [], "logps": []}
        for outputs in self._steps():
            ended = []
            for output in outputs:
                row, new = running[output.request_id], output.outputs[0]
                row["token_ids"] += new.token_ids
                row["logps"] += [at[token].logprob for at, token in zip(new.logprobs, new.token_ids, strict=True)]
                if output.finished:
                    ended.append({**running.pop(output.request_id), "finish": new.finish_reason})
            yield from ended or [None]
            if aborted():
                self._engine.abort_request(list(running))
                yield from ({**row, "finish": "abort"} for row in running.values())
                return

    def _refuse_length(self, prompts: list[list[int]]) -> None:
        lengths, context = {len(prompt) for prompt in prompts}, self._engine.model_config.max_model_len
        if lengths and not 0 < min(lengths) <= max(lengths) < context:
            raise RefusedError(
                400, f"prompts have 1 to {context - 1} tokens here, and these {min(lengths)} to {max(lengths)}"
            )

    def _add(self, name: str, token_ids: list[int], **sampling: Any) -> str:
        from vllm.inputs import TokensPrompt  # pyright: ignore[reportMissingImports]
        from vllm.sampling_params import RequestOutputKind, SamplingParams  # pyright: ignore[reportMissingImports]

        name = f"{name}-{next(self._numbers)}"
        parameters = SamplingParams(**sampling, ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA)
        self._engine.add_request(name, TokensPrompt(prompt_token_ids=token_ids), parameters)
        return name

    def _steps(self) -> Iterator[list[Any]]:
        while self._engine.has_unfinished_requests():
            yield self._engine.step()


def repack_tied_head(model: Any) -> None:
    """On the CPU vLLM computes with a packed copy of the head, which `reload_weights` forgets where it is tied.

    Seen in vLLM 0.32 in float32: after an update the head was that of the weights before. Packing again mends it.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import (  # pyright: ignore[reportMissingImports]
        ParallelLMHead,
    )
    from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

    if current_platform.is_cpu():
        for module in model.modules():
            if isinstance(module, ParallelLMHead):
                module.quant_method.process_weights_after_loading(module)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--name", action="append", default=[])
    arguments = parser.parse_args()
    os.environ.update({name: value for name, value in _DEFAULTS.items() if name not in os.environ})
    with bind(arguments.host, arguments.port, token=_MADE) as listener:
        port = listener.getsockname()[1]
        token = _token(port)
        sampler = VllmSampler(arguments.model, dtype=arguments.dtype)
        rollouts = Server(sampler, token, names=allowed_hosts(arguments.host, arguments.name))
        listening = server(rollouts.app, render_refusal=render_refusal)
        threading.Thread(target=listening.run, kwargs={"sockets": [listener]}, daemon=True).start()
        listener.listen()  # whoever asks at once is kept waiting, not turned away
        print(f"rollouts at {url_of(listener)}, Ctrl-C ends them", flush=True)
        rollouts.serve()


def _token(port: int) -> str:
    """What clients must show; UserError where one has to be made and cannot be kept."""
    token = os.environ.get("AFTERBASE_ROLLOUT_TOKEN") or kept_token(f"rollouts-{port}")
    if token is not None:
        return token
    try:
        token, path = make_token(f"rollouts-{port}")
    except OSError as error:
        raise UserError(
            "a made token is kept in a file of this user",
            got=str(error),
            remedy="set AFTERBASE_ROLLOUT_TOKEN to a long random text, here and where the run is started",
        ) from None
    print(f"a token was made, and is kept in {path}: {token}", flush=True)
    return token


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        sys.exit(f"error: {error}")
