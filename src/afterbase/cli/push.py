"""`afterbase push`: a model folder to Hugging Face's hub."""

from typing import Annotated

import typer

from afterbase.core.sanitize import sanitized


def push(
    model: Annotated[str, typer.Argument(metavar="FOLDER", help="A model folder, such as a run's.")],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Its name there; made if it is new.")],
    licence: Annotated[
        str | None, typer.Option("--licence", help="Such as apache-2.0; needed where the card names none.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="For everybody to read; else private.")] = False,
) -> None:
    """Upload a model to Hugging Face's hub: private unless it is to be public, and under a licence."""
    from pathlib import Path

    from afterbase.report.push_model import push_model

    print(sanitized(push_model(Path(model), repo, licence=licence, public=public)))
