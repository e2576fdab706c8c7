"""The command line. Heavy imports live inside the commands, so that `--help` answers immediately."""

import errno
import os
import sys
import traceback
from types import TracebackType
from typing import Annotated

import typer

from afterbase import __version__
from afterbase.cli import data as data_commands
from afterbase.cli import eval as eval_commands
from afterbase.cli import jobs, models, review, runs, serve
from afterbase.cli import score as score_commands
from afterbase.cli import verify as verify_commands
from afterbase.core import hub
from afterbase.core.errors import UserError
from afterbase.core.old_names import with_new_options
from afterbase.core.sanitize import sanitized
from afterbase.core.secret_masking import masked

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="What comes after the base model: DeepSeek-V3's post-training, with the lineage of every sample.",
)
_COMMANDS = {
    "One training on your own files": jobs.COMMANDS,
    "Recipes": (runs.demo, runs.init, runs.run, runs.plan, runs.show, runs.trace, review.review),
    "Models": (models.chat, serve.serve, models.push),
    "Servers that runs ask": (serve.serve_rollouts, serve.serve_sandbox),
}
for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
_GROUPS = {"data": data_commands, "verify": verify_commands, "eval": eval_commands, "score": score_commands}
for group, module in _GROUPS.items():
    app.add_typer(module.app, name=group, rich_help_panel="Data, answers, scores")
_INTERRUPTED = 130  # the exit status after Ctrl-C, by the shells' convention


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"afterbase {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """What all commands share: nothing but the version."""


def main() -> None:
    """Run the command line; mistakes of the user end in one clear message and exit status 2."""
    sys.excepthook = _tell_masked
    hub.stay_offline()
    try:
        app(args=with_new_options(sys.argv[1:]))
    except UserError as error:
        sys.exit(_fail(f"error: {error}"))
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            print("\nstopped; the same command goes on from the last checkpoint", file=sys.stderr)
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
