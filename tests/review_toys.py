"""Drafts, queues and a review store with a clock of its own, for the tests of the review."""

import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from afterbase.core.sample import Sample, Status, Verdict, conversation
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import Item, Refused
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import queue
from afterbase.data.review.review_store import ReviewStore
from afterbase.data.review.review_tables import connect, sqlite_url

DOMAIN = "chat"
SECRET_VERIFIER = "a-model-that-nobody-may-see"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def draft(number: int, *, response: str | None = None, kind: str = "question", value: float | None = None) -> Sample:
    verdict = Verdict(verifier=SECRET_VERIFIER, status=Status.OK, value=value or 0.0, reason="so it said")
    return Sample(
        messages=conversation(f"Question {number}?", response or f"Answer {number}."),
        domain=DOMAIN,
        kind="open",
        problem_id=None,
        producer={"name": "generator"},
        verdicts=[] if value is None else [verdict],
        extra={"kind": kind},
    )


def review_store(
    folder: Path, samples: list[Sample], policy: Review, *, clock: Clock | None = None, url: str | None = None
) -> ReviewStore:
    """A store whose queue is in place."""
    engine = connect(url or sqlite_url(folder / "review.sqlite"))
    store = ReviewStore(engine, "toy", clock or Clock())
    store.replace_queue(
        DOMAIN, queue(samples, policy), policy, drafts=len(samples), guideline="# Be fair\n\nRead it twice."
    )
    return store


TEN = [draft(i) for i in range(10)]


def shown(store: ReviewStore, reviewer: str) -> Item:
    """What is on a reviewer's screen."""
    item = store.next_item(DOMAIN, reviewer)
    assert item is not None
    return item


def conflict_of(store: ReviewStore) -> Item:
    """The first conflict there is."""
    item = store.conflict(DOMAIN)
    assert item is not None
    return item


def counts(store: ReviewStore) -> tuple[int, int, int]:
    """Drafts to review, decided ones, conflicts."""
    found = store.progress(DOMAIN)
    return found.reviewed, found.decided, found.conflicts


def undo(store: ReviewStore, reviewer: str, *, settles: bool = False) -> None:
    """What a page that was just loaded would undo."""
    last = store.last(DOMAIN, reviewer, settles=settles)
    assert last is not None
    store.undo(DOMAIN, reviewer, last, settles=settles)


def in_conflict(folder: Path) -> ReviewStore:
    """One draft that ada accepts and ben rejects."""
    store = review_store(folder, TEN[:1], Review(double=1))
    for name, outcome in {"ada": Outcome.ACCEPT, "ben": Outcome.REJECT}.items():
        store.add_reviewer(name, adjudicates=False)
        store.give(shown(store, name).id, name, outcome, reason="good")
    return store


def review_all(store: ReviewStore, reviewer: str, decide) -> int:
    """Every draft that is left for a reviewer, decided by `decide(item)`, an outcome; how many."""
    done = 0
    while (item := store.next_item(DOMAIN, reviewer)) is not None:
        store.give(item.id, reviewer, decide(item), reason="good")
        done += 1
    return done


def accept(_) -> Outcome:
    return Outcome.ACCEPT


def _hurry(store: ReviewStore, name: str, start: threading.Barrier, lost: list[str]) -> None:
    start.wait()
    while (item := store.next_item(DOMAIN, name)) is not None:
        try:
            store.give(item.id, name, Outcome.ACCEPT if name < "c" else Outcome.REJECT, reason="good")
        except Refused:
            lost.append(name)


def race(store: ReviewStore) -> None:
    """Four people at once: each draft gets exactly the verdicts that it needs, and nobody's is lost."""
    names, lost, start = ["ada", "ben", "cyd", "dan"], [], threading.Barrier(4)
    threads = [threading.Thread(target=_hurry, args=(store, name, start, lost)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.progress(DOMAIN)
    assert found.decided + found.conflicts == found.reviewed == 40
    assert sum(len(unit) for unit in store.units(DOMAIN)) == 40 + found.twice
    assert lost == []


def die_after(url: str, verdicts_given: Connection, count: int) -> None:
    """Accept `count` drafts, telling of each, and be killed."""
    store = ReviewStore(connect(url), "toy")
    for _ in range(count):
        item = store.next_item(DOMAIN, "ada")
        assert item is not None
        store.give(item.id, "ada", Outcome.ACCEPT, reason="good")
        verdicts_given.send(item.id)
    os.kill(os.getpid(), signal.SIGKILL)
