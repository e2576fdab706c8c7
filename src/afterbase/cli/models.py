"""`afterbase chat` and `push`: talk to a model in the terminal or through a pipe; upload one to the hub."""

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from afterbase.core.errors import UserError
from afterbase.core.sanitize import sanitized

if TYPE_CHECKING:
    from afterbase.rollout.conversation import LocalConversation

_QUIT = "/quit"


def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model, a model folder, or hub:ORG/NAME.")],
    system: Annotated[str | None, typer.Option("--system", help="A system prompt.")] = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0, max=2, help="0 is greedy.")] = 0.7,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Of an answer, at most.")] = 512,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and turns give the same answers.")] = 0,
) -> None:
    """Talk to a model: a line is a turn, /quit or the end of the input ends it, Ctrl-C cuts an answer short."""
    from afterbase.model.folders import find
    from afterbase.model.load import load
    from afterbase.rollout.conversation import LocalConversation

    lm = load(find(model))
    talk = LocalConversation(lm, system=system, temperature=temperature, max_tokens=max_tokens, seed=seed)
    with closing(talk):
        while (text := _turn()) is not None:
            if text.strip():
                _answer(talk, text)


def _turn() -> str | None:
    """The next line; None at the end."""
    try:
        text = input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None
    return None if text.strip() == _QUIT else text


def _answer(talk: "LocalConversation", text: str) -> None:
    """Print an answer as it comes, without what a terminal would obey."""
    before = talk.forgotten
    pieces = talk.reply(text)
    try:
        for piece in pieces:
            print(sanitized(piece), end="", flush=True)
    except KeyboardInterrupt:
        pieces.close()
    except UserError as error:
        if not sys.stdin.isatty():
            raise
        print(error, file=sys.stderr)
    print(flush=True)
    if talk.forgotten > before:
        print("note: the context is full; the earliest turns are forgotten", file=sys.stderr)


def push(
    model: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder, such as a run's.")],
    repo: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Its name there; made if it is new.")],
    licence: Annotated[
        str | None, typer.Option("--licence", help="Such as apache-2.0; needed where the card names none.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="For everybody to read; else private.")] = False,
) -> None:
    """Upload a model to Hugging Face's hub: private unless it is to be public, and under a licence."""
    from afterbase.report.push_model import push_model

    print(sanitized(push_model(model, repo, licence=licence, public=public)))
