"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[Path, typer.Option("--root", help="Where `runs/` and `store/` lie.")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/quickstart.toml.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The name of a run: its recipe's `name`.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A further host name that clients reach it under; may be repeated."),
]
