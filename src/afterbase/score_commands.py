"""`afterbase score`: published judged benchmarks from their files of verdicts, for people and programs (`--json`)."""

import typer

app = typer.Typer(no_args_is_help=True, help="Score judged benchmarks from their files of verdicts.")
