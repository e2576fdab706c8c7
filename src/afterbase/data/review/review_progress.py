"""The progress of a review: of a domain as a whole, and of one person's part."""

from sqlalchemy import Connection, Row, and_, func, select

from afterbase.data.review.agreement import alpha
from afterbase.data.review.claims import left_for
from afterbase.data.review.records import CONFLICT, DONE, OPEN, Refused, ReviewProgress, ReviewRate
from afterbase.data.review.review_policy import Review, shortfall
from afterbase.data.review.review_tables import items, reviews, verdicts
from afterbase.data.review.review_votes import units_of

_PACE_VERDICTS = 30  # the last ones, of which the median pace is shown


def review_of(connection: Connection, run: str, domain: str) -> Row:
    """A domain's row; Refused where it is not under review."""
    key = and_(reviews.c.run == run, reviews.c.domain == domain)
    row = connection.execute(select(reviews).where(key)).one_or_none()
    if row is None:
        raise Refused("There is no such domain in this run.")
    return row


def policy_of(review: Row) -> Review:
    """What the recipe asked of a domain's reviewers."""
    return Review.model_validate_json(review.policy)


def progress_of(connection: Connection, run: str, domain: str) -> ReviewProgress:
    """How far a domain is."""
    review = review_of(connection, run, domain)
    mine = and_(items.c.run == run, items.c.domain == domain, items.c.position.is_not(None))
    counts = dict.fromkeys((OPEN, CONFLICT, DONE), 0)
    twice = 0
    for state, needed, n in connection.execute(
        select(items.c.state, items.c.needed, func.count()).where(mine).group_by(items.c.state, items.c.needed)
    ):
        counts[state] += n
        twice += n * (needed > 1)
    missing = shortfall(
        policy_of(review),
        undecided=counts[OPEN],
        conflicts=counts[CONFLICT],
        agreement=lambda: alpha(units_of(connection, run, domain)),
    )
    return ReviewProgress(
        drafts=review.drafts,
        reviewed=sum(counts.values()),
        decided=counts[DONE],
        conflicts=counts[CONFLICT],
        twice=twice,
        missing=tuple(missing),
        closed=review.closed is not None,
    )


def review_rate_of(connection: Connection, run: str, domain: str, reviewer: str, now: float) -> ReviewRate:
    """How far one person is in a domain."""
    mine = (
        select(verdicts.c.seconds)
        .join(items, items.c.id == verdicts.c.item)
        .where(items.c.run == run, items.c.domain == domain, items.c.position.is_not(None), ~verdicts.c.settles)
        .where(verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None))
    )
    given = connection.scalar(select(func.count()).select_from(mine.subquery())) or 0
    last = sorted(connection.scalars(mine.order_by(verdicts.c.id.desc()).limit(_PACE_VERDICTS)))
    left = connection.scalar(select(func.count()).where(*left_for(run, domain, reviewer, now))) or 0
    return ReviewRate(given=given, left=left, seconds=last[len(last) // 2] if last else None)
