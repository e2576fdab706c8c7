"""A domain's queue put in place: drafts keep their verdicts, whatever the queue was before."""

from collections.abc import Sequence

from sqlalchemy import Connection, and_, select

from afterbase.core.config import what
from afterbase.data.review.records import OPEN
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_progress import policy_of
from afterbase.data.review.review_queue import Place, fingerprint
from afterbase.data.review.review_tables import items, packed, reviews
from afterbase.data.review.review_votes import count


def replace_queue(
    connection: Connection, run: str, domain: str, places: Sequence[Place], policy: Review, *, drafts: int,
    guideline: str,
) -> None:  # fmt: skip
    """Put the queue in place of what was there; the same queue stays as it is, and closed if it was.

    Raises IntegrityError where another process puts the same domain's first row in.
    """
    word = fingerprint(places)
    key = and_(reviews.c.run == run, reviews.c.domain == domain)
    fresh = {
        "policy": policy.model_dump_json(),
        "guideline": packed(guideline),
        "drafts": drafts,
        "fingerprint": word,
    }
    changed = connection.execute(reviews.update().where(key).values(changes=reviews.c.changes + 1))
    if changed.rowcount == 0:
        connection.execute(reviews.insert().values(run=run, domain=domain, changes=0, **fresh))
    else:
        before = connection.execute(select(reviews).where(key)).one()
        same = before.fingerprint == word and what(policy_of(before)) == what(policy)
        connection.execute(reviews.update().where(key).values(**fresh, closed=before.closed if same else None))
        if same:
            return
    _line_up(connection, run, domain, places)


def _line_up(connection: Connection, run: str, domain: str, places: Sequence[Place]) -> None:
    """The drafts in their new order; those that are out of it lose their position and nothing else."""
    mine = and_(items.c.run == run, items.c.domain == domain)
    connection.execute(items.update().where(mine).values(position=None))
    known = {sample: id for id, sample in connection.execute(select(items.c.id, items.c.sample).where(mine))}
    new = []
    for position, place in enumerate(places):
        values = {"position": position, "needed": 2 if place.twice else 1}
        if place.sample.id in known:
            connection.execute(items.update().where(items.c.id == known[place.sample.id]).values(**values))
            count(connection, known[place.sample.id])
        else:
            new.append({**values, "sample": place.sample.id, "messages": packed(list(place.sample.messages))})
    begin = {"run": run, "domain": domain, "given": 0, "state": OPEN, "version": 0}
    if new:
        connection.execute(items.insert(), [{**begin, **row} for row in new])
