"""Which draft is on whose screen, so that no more people read a draft than it needs.

A claim lasts half an hour; after that the draft is offered to others, and the first decision counts.
"""

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, select

from afterbase.data.review.records import OPEN
from afterbase.data.review.review_tables import claims, items, skips, verdicts

_SECONDS = 30 * 60


def left_for(run: str, domain: str, reviewer: str, now: float) -> tuple[ColumnElement[bool], ...]:
    """What makes an item one for this person: open, not decided by them, not held by others."""
    decided = exists().where(
        verdicts.c.item == items.c.id, verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None)
    )
    others = claims.alias()
    held = (
        select(func.count())
        .select_from(others)
        .where(others.c.item == items.c.id, others.c.reviewer != reviewer)
        .where(others.c.shown > now - _SECONDS)
        .correlate(items)
        .scalar_subquery()
    )
    return (
        items.c.run == run,
        items.c.domain == domain,
        items.c.state == OPEN,
        items.c.position.is_not(None),
        items.c.given + held < items.c.needed,
        ~decided,
    )


def next_for(connection: Connection, run: str, domain: str, reviewer: str, now: float) -> Row | None:
    """The draft that this person holds, otherwise the first one left for them: what they skipped comes last."""
    left = left_for(run, domain, reviewer, now)
    on_screen = select(items).join(claims, and_(_of(run, domain, reviewer), claims.c.item == items.c.id))
    row = connection.execute(on_screen.where(*left)).one_or_none()
    if row is None:
        mine = and_(skips.c.item == items.c.id, skips.c.reviewer == reviewer)
        waiting = select(items).outerjoin(skips, mine).where(*left)
        first = waiting.order_by(skips.c.at.is_not(None), skips.c.at, items.c.position).limit(1)
        row = connection.execute(first).one_or_none()
    return row


def claim(connection: Connection, run: str, domain: str, reviewer: str, item: int, now: float) -> None:
    """Put a draft on a person's screen, in the place of what was there."""
    held = connection.execute(select(claims).where(_of(run, domain, reviewer))).one_or_none()
    if held is not None and held.item == item and held.shown > now - _SECONDS:
        return  # a page loaded again does not start its time again
    connection.execute(claims.delete().where(_of(run, domain, reviewer)))
    connection.execute(claims.insert().values(run=run, domain=domain, reviewer=reviewer, item=item, shown=now))


def release(connection: Connection, run: str, domain: str, reviewer: str, item: int) -> float | None:
    """Take a draft from a person's screen; since when it was there, None where another one is, or none."""
    held = and_(_of(run, domain, reviewer), claims.c.item == item)
    shown = connection.scalar(select(claims.c.shown).where(held))
    connection.execute(claims.delete().where(held))
    return shown


def _of(run: str, domain: str, reviewer: str) -> ColumnElement[bool]:
    return and_(claims.c.run == run, claims.c.domain == domain, claims.c.reviewer == reviewer)
