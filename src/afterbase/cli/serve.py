"""`afterbase serve`, `serve-rollouts` and `serve-sandbox`: servers of a model, of rollouts, of isolated programs."""

from pathlib import Path
from typing import Annotated

import typer

from afterbase.cli.parameters import Names


def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model (tiny-v3) or a model folder.")],
    host: Annotated[str, typer.Option(help="Any other than a loopback address needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="AFTERBASE_TOKEN", help="What clients have to send as bearer token.")
    ] = None,
    max_rows: Annotated[int, typer.Option(help="Answers that run at once.")] = 64,
    token_budget: Annotated[int, typer.Option(help="Tokens of prompts and answers cached at once.")] = 262_144,
    name: Names = None,
) -> None:
    """Serve a model over HTTP, as OpenAI's API: chat, completions, streaming, log-probabilities."""
    from afterbase.rollout.server.model_server import serve as serve_model

    settings = {"max_rows": max_rows, "token_budget": token_budget, "names": name or []}
    serve_model(model, host=host, port=port, token=token, **settings)


def serve_rollouts(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped name or a Hugging Face folder.")],
    env: Annotated[Path, typer.Option("--env", help="The folder of vLLM's own environment.")],
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port to listen at.")] = 8100,
    dtype: Annotated[str, typer.Option("--dtype", help="What vLLM computes in.")] = "float32",
    prepare: Annotated[bool, typer.Option("--prepare", help="Make the environment first (3.5 GB).")] = False,
    name: Names = None,
) -> None:
    """Start vLLM, in an environment of its own, as the server that a run rolls out with."""
    from afterbase.rollout.vllm import vllm_environment

    if prepare:
        vllm_environment.prepare(env)
    vllm_environment.serve(model, env, host=host, port=port, dtype=dtype, names=name or [])


def serve_sandbox(
    host: Annotated[str, typer.Option("--host", help="Any other than a loopback address needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.")] = 8200,
    token: Annotated[
        str | None, typer.Option("--token", envvar="AFTERBASE_SANDBOX_TOKEN", help="What clients have to send.")
    ] = None,
    name: Names = None,
) -> None:
    """Run other machines' untrusted programs here, in isolation; they set AFTERBASE_SANDBOX to the address."""
    from afterbase.sandbox import serve as serve_programs

    serve_programs(host=host, port=port, token=token, names=name or [])
