"""`afterbase review`: find the run that waits, print each reviewer's link, and serve until Ctrl-C."""

import getpass
import json
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from afterbase.core.errors import UserError
from afterbase.core.http.allowed_hosts import allowed_hosts
from afterbase.core.http.http_server import TOKEN_OF_EACH_CLIENT, bind, url_of
from afterbase.core.http.http_server import run as run_until_interrupted
from afterbase.core.sanitize import sanitized
from afterbase.data.review.review_stage import review_folder
from afterbase.data.review.review_store import ReviewStore, open_reviews
from afterbase.data.review.review_tables import secret_of
from afterbase.data.review.web.access import token
from afterbase.data.review.web.pages import Pages
from afterbase.data.review.web.review_app import create_app, say_as

_NAME = re.compile(r"[\w][\w.-]{0,39}")


def serve(
    run: str,
    root: Path,
    *,
    host: str,
    port: int,
    reviewers: Sequence[str],
    adjudicators: Sequence[str],
    names: Sequence[str] = (),
) -> None:
    """Serve a run's reviews; ends on Ctrl-C. `names` are further ones that reviewers reach it under.

    Whoever opens a page signs in with a token, on whatever address. Raises UserError for a run that does not wait for
    reviewers, a name that is none, and a port that cannot be had.
    """
    store = waiting_run(run, root)
    add_people(store, reviewers, adjudicators)
    with bind(host, port, token=TOKEN_OF_EACH_CLIENT) as listener:
        listener.listen()  # whoever follows a link at once is kept waiting, not turned away
        print(sanitized(greeting(store, listener)), flush=True)
        app, render_refusal = (
            create_app(store, allowed_hosts(host, names)),
            say_as(Pages(store, secret_of(store.engine))),
        )
        run_until_interrupted(app, listener, render_refusal=render_refusal, goodbye="stopped; every verdict is kept")


def waiting_run(run: str, root: Path) -> ReviewStore:
    """The reviews of a run that waits for them; UserError where there is nothing to review."""
    runs = root / "runs"
    known = sorted(path.parent.name for path in runs.glob("*/review.json"))
    remedy = f"use one of {', '.join(known)}" if known else "add [review.DOMAIN] to a recipe, and run it first"
    if run not in known:
        got = f"`{run}`, and no {runs / run}"
        if run in {path.name for path in runs.glob("*")}:
            got = f"`{run}`, whose recipe has the reviews that are shipped"
        raise UserError("`review` takes the name of a run that people review", got=got, remedy=remedy)
    folder = review_folder(root, run)
    store = open_reviews(folder, run, json.loads((folder / "review.json").read_text())["database"])
    if all(store.progress(domain).closed for domain in store.domains()):
        raise UserError(
            "a review is open until its run goes on with it",
            got=f"`{run}`, which does not wait for anybody",
            remedy="run the recipe again; to review more, raise `share` or `double` of its [review.DOMAIN] first",
        )
    return store


def add_people(store: ReviewStore, reviewers: Sequence[str], adjudicators: Sequence[str]) -> None:
    """Make the people known to the run; without any, now or before, whoever started the program."""
    if not (reviewers or adjudicators or store.reviewers()):
        reviewers = [re.sub(r"[^\w.-]", "", getpass.getuser()) or "reviewer"]
    for name in [*reviewers, *adjudicators]:
        if not _NAME.fullmatch(name):
            raise UserError(
                "a reviewer's name has 1 to 40 letters, digits, dots and dashes",
                got=repr(name),
                remedy="choose another",
            )
    for name in {**dict.fromkeys(reviewers), **dict.fromkeys(adjudicators)}:
        store.add_reviewer(name, adjudicates=name in adjudicators)


def greeting(store: ReviewStore, listener: socket.socket) -> str:
    """Where the app is, what is left, and each person's own link."""
    url = _reachable(url_of(listener))
    secret, people = secret_of(store.engine), store.withdrawals()
    width = max(map(len, people))
    left = "; ".join(f"{d}: {', '.join(store.progress(d).missing) or 'all decided'}" for d in store.domains())
    links = [f"  {name:{width}}  {_link(url, secret, store.run, name, times)}" for name, times in people.items()]
    return "\n".join(
        [f"{store.run} at {url} (Ctrl-C ends it)", f"  {left}", "", "A link is a password: give each its own.", *links]
    )


def withdraw(run: str, root: Path, names: Sequence[str], *, host: str, port: int) -> str:
    """Make the links and sessions of these people invalid, for a server that runs too; their new links."""
    store = waiting_run(run, root)
    for name in names:
        store.withdraw(name)
    url = _reachable(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    secret, times = secret_of(store.engine), store.withdrawals()
    return "\n".join(f"  {name}  {_link(url, secret, run, name, times[name])}" for name in names)


def _link(url: str, secret: bytes, run: str, name: str, withdrawn: int) -> str:
    return f"{url}/sign-in#token={token(secret, run, name, withdrawn)}"


def _reachable(url: str) -> str:
    for every in ("//0.0.0.0:", "//[::]:"):  # no address that anybody else could open
        url = url.replace(every, f"//{socket.gethostname()}:")
    return url
