"""The verdicts that stand on a draft, and what they make of it: open, a conflict, or done."""

import json

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, select

from afterbase.data.review.agreement import Unit
from afterbase.data.review.records import CONFLICT, DONE, OPEN, Item, Vote, item_of, said, vote_of
from afterbase.data.review.review_tables import items, packed, seen, verdicts
from afterbase.data.review.web.changes import difference


def votes_on(connection: Connection, item: int) -> list[Vote]:
    """The verdicts that stand on an item, first to last."""
    live = and_(verdicts.c.item == item, verdicts.c.undone.is_(None))
    return [vote_of(row) for row in connection.execute(select(verdicts).where(live).order_by(verdicts.c.id))]


def record(connection: Connection, row: Row, vote: Vote) -> None:
    """One more verdict on an item; an edit with what it changed."""
    draft, edited = json.loads(row.messages)[-1]["content"], vote.edited
    connection.execute(
        verdicts.insert().values(
            item=row.id,
            reviewer=vote.reviewer,
            settles=vote.settles,
            outcome=str(vote.outcome),
            reason=vote.reason,
            edited=None if edited is None else packed(edited),
            diff=None if edited is None else packed(difference(draft, edited)),
            seconds=vote.seconds,
            given=vote.given,
        )
    )
    count(connection, row.id)


def count(connection: Connection, item: int) -> None:
    """Count an item's votes and say what state it is in; every change of them makes another version."""
    votes = votes_on(connection, item)
    needed = connection.scalar(select(items.c.needed).where(items.c.id == item)) or 1
    given = sum(not vote.settles for vote in votes)
    state = OPEN
    if any(vote.settles for vote in votes):
        state = DONE
    elif given >= needed:
        state = DONE if len({said(vote) for vote in votes}) == 1 else CONFLICT
    values = {"given": given, "state": state, "version": items.c.version + 1}
    connection.execute(items.update().where(items.c.id == item).values(**values))


def last_of(connection: Connection, run: str, domain: str, reviewer: str, *, settles: bool) -> Row | None:
    """This person's last verdict (id, item) on a draft of the queue; with `settles`, as an adjudicator."""
    query = (
        select(verdicts.c.id, verdicts.c.item)
        .join(items, items.c.id == verdicts.c.item)
        .where(items.c.run == run, items.c.domain == domain, items.c.position.is_not(None))
        .where(verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None), verdicts.c.settles == settles)
        .order_by(verdicts.c.id.desc())
    )
    return connection.execute(query.limit(1)).one_or_none()


def note_conflicts_seen(connection: Connection, run: str, domain: str, reviewer: str) -> None:
    """Note that this person hears of the conflicts that they are in: they know now what another did not say."""
    mine = exists().where(verdicts.c.item == items.c.id, verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None))
    known = exists().where(seen.c.item == items.c.id, seen.c.reviewer == reviewer)
    query = select(items.c.id).where(
        items.c.run == run, items.c.domain == domain, items.c.state == CONFLICT, mine, ~known
    )
    new = [{"item": item, "reviewer": reviewer} for item in connection.scalars(query)]
    if new:
        connection.execute(seen.insert(), new)


def knows_conflict(connection: Connection, item: int, reviewer: str) -> bool:
    """Whether this person knows of the item that somebody decided it differently."""
    return connection.scalar(select(seen.c.item).where(seen.c.item == item, seen.c.reviewer == reviewer)) is not None


def items_where(
    connection: Connection, run: str, domain: str, which: ColumnElement[bool], *, first: bool = False
) -> list[Item]:
    """Drafts of the queue in its order, each with its votes."""
    query = select(items).where(items.c.run == run, items.c.domain == domain, which)
    query = query.where(items.c.position.is_not(None)).order_by(items.c.position).limit(1 if first else None)
    return [item_of(row, votes_on(connection, row.id)) for row in connection.execute(query).all()]


def units_of(connection: Connection, run: str, domain: str) -> list[Unit]:
    """The outcomes of each draft that somebody reviewed, by reviewer; what adjudicators said is no rating."""
    query = (
        select(verdicts.c.item, verdicts.c.reviewer, verdicts.c.outcome)
        .join(items, items.c.id == verdicts.c.item)
        .where(items.c.run == run, items.c.domain == domain, items.c.position.is_not(None))
        .where(~verdicts.c.settles, verdicts.c.undone.is_(None))
        .order_by(verdicts.c.item, verdicts.c.reviewer)
    )
    found: dict[int, dict[str, str]] = {}
    for item, reviewer, outcome in connection.execute(query):
        found.setdefault(item, {})[reviewer] = outcome
    return list(found.values())
