"""`afterbase review`: the web app in which people judge drafts."""

from pathlib import Path
from typing import Annotated

import typer

from afterbase.cli.parameters import Names, Root, RunName
from afterbase.core.sanitize import sanitized


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
    from afterbase.data.review.review_stage import refuse_without_review

    refuse_without_review()
    from afterbase.data.review.web.review_server import serve as serve_review
    from afterbase.data.review.web.review_server import withdraw as withdraw_links

    if withdraw:
        print(sanitized(withdraw_links(run, root, withdraw, host=host, port=port)))
        return
    people = {"reviewers": reviewer or [], "adjudicators": adjudicator or []}
    serve_review(run, root, host=host, port=port, names=name or [], **people)
