"""The command line. Heavy imports live inside the commands, so that `--help` answers immediately."""

import errno
import json
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import typer

from afterbase.cli import data as data_commands
from afterbase.cli import eval as eval_commands
from afterbase.cli import score as score_commands
from afterbase.cli import verify as verify_commands
from afterbase.core.errors import UserError, Waiting
from afterbase.core.old_names import with_new_options
from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="What comes after the base model: DeepSeek-V3's post-training, with the lineage of every sample.",
)
app.add_typer(verify_commands.app, name="verify")
app.add_typer(score_commands.app, name="score")
app.add_typer(eval_commands.app, name="eval")
app.add_typer(data_commands.app, name="data")
Root = Annotated[Path, typer.Option("--root", help="Where `runs/` and `store/` lie.")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/quickstart.toml.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The name of a run: its recipe's `name`.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A further host name that clients reach it under; may be repeated."),
]
_WAITING = 75  # the exit status of a run that waits for people: try again later, by sysexits.h
_INTERRUPTED = 130  # the exit status after Ctrl-C, by the shells' convention


@app.command()
def run(recipe: RecipeFile, root: Root = Path()) -> None:
    """Run a recipe, or go on where it stopped; ends with a table and a report, or where people have to review first."""
    from afterbase.cli import run_recipe

    try:
        run_recipe.run(recipe, root)
    except Waiting as waiting:
        print(sanitized(f"{waiting.rule}\n  {waiting.got}\n  next: {waiting.remedy}"), flush=True)
        raise typer.Exit(_WAITING) from None


@app.command()
def plan(recipe: RecipeFile, root: Root = Path()) -> None:
    """Show the stages of a recipe: what is cached, and what each will cost."""
    from afterbase.cli import run_recipe

    run_recipe.plan(recipe, root)


@app.command()
def show(
    run: RunName, root: Root = Path(), as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False
) -> None:
    """Show the final table of a run."""
    summary = _summary(run, root)
    if as_json:
        keys = ("run", "stages", "evaluations", "comparisons")
        print(json.dumps({key: summary[key] for key in keys}, indent=2))
        return
    from rich.console import Console

    from afterbase.report.table import final_table

    Console().print(final_table(summary["evaluations"]))
    print(sanitized(f"report: {root / 'runs' / run / 'report.html'}"))


@app.command()
def trace(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="An answer's or a sample's id.")],
    root: Root = Path(),
) -> None:
    """Walk from an answer or a sample back to its problem, its teacher and the base model."""
    from rich.console import Console

    from afterbase.core.store import Store
    from afterbase.report.trace import trace as lineage

    Console().print(lineage(identifier, store=Store(root / "store"), runs=root / "runs"))


@app.command()
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


@app.command()
def review(
    run: RunName,
    root: Root = Path(),
    reviewer: Annotated[
        list[str] | None,
        typer.Option(help="Somebody who reviews; may be repeated. None: who they were before, or you."),
    ] = None,
    adjudicator: Annotated[
        list[str] | None, typer.Option(help="Somebody who settles conflicts; may be repeated. None: any reviewer may.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; every page wants a reviewer's token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8010,
    name: Names = None,
    withdraw: Annotated[
        list[str] | None,
        typer.Option(help="Somebody whose link and sessions end now; prints a new link and serves nothing."),
    ] = None,
) -> None:
    """Open the web app in which people review the drafts that a run waits for."""
    from afterbase.data.review.web.review_server import serve as serve_review
    from afterbase.data.review.web.review_server import withdraw as withdraw_links

    if withdraw:
        print(sanitized(withdraw_links(run, root, withdraw, host=host, port=port)))
        return
    people = {"reviewers": reviewer or [], "adjudicators": adjudicator or []}
    serve_review(run, root, host=host, port=port, names=name or [], **people)


@app.command(name="serve-rollouts")
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


@app.command(name="serve-sandbox")
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


def _summary(run: str, root: Path) -> dict[str, Any]:
    path = root / "runs" / run / "run.json"
    if not path.is_file():
        runs = sorted(p.parent.name for p in (root / "runs").glob("*/run.json"))
        known = f"use one of {', '.join(runs)}" if runs else "run a recipe first: afterbase run recipes/quickstart.toml"
        raise UserError("`show` takes the name of a finished run", got=f"`{run}`, and no {path}", remedy=known)
    return json.loads(path.read_text())


def main() -> None:
    """Run the command line; mistakes of the user end in one clear message and exit status 2."""
    sys.excepthook = _tell_masked
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models are folders here; nothing is looked up elsewhere
    try:
        app(args=with_new_options(sys.argv[1:]))
    except UserError as error:
        sys.exit(_fail(f"error: {error}"))
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    except Exception as error:
        if not _disk_is_full(error):
            raise
        sys.exit(_fail("error: the disk is full; nothing finished is lost\n  remedy: free some space and run again"))


def _tell_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback, without the secrets that other libraries' messages may quote."""
    sys.stderr.write(sanitized(masked("".join(traceback.format_exception(kind, error, trace)))))


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether a full disk is the error, or what led to it: torch and safetensors tell of it in words of their own."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
