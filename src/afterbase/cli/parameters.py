"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from afterbase.core.errors import UserError

Root = Annotated[Path, typer.Option("--root", help="Where `runs/` and `store/` lie.")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, such as recipes/quickstart.toml.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The name of a run: its recipe's `name`.")]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A further host name that clients reach it under; may be repeated."),
]
Columns = Annotated[
    str | None, typer.Option("--columns", help="Which column holds what, such as prompt=question,answer=gold.")
]


def columns_of(text: str | None) -> dict[str, str]:
    """`prompt=question,answer=gold` as a table of columns; UserError for anything else."""
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not (role.strip() and sign and column.strip()) for role, sign, column in pairs):
        raise UserError(
            "`--columns` says which column holds what",
            got=f"`{text}`",
            remedy="write it as prompt=question,answer=gold",
        )
    return {role.strip(): column.strip() for role, _, column in pairs}
