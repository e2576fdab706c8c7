"""Who reviews a run, and who of them settles conflicts."""

from sqlalchemy import Connection, and_, select

from afterbase.data.review.tables import reviewers


def enlist(connection: Connection, run: str, name: str, *, adjudicates: bool) -> None:
    """Make a person known to a run, or change what they may do."""
    key = and_(reviewers.c.run == run, reviewers.c.name == name)
    if connection.execute(reviewers.update().where(key).values(adjudicates=adjudicates)).rowcount == 0:
        connection.execute(reviewers.insert().values(run=run, name=name, adjudicates=adjudicates))


def people_of(connection: Connection, run: str) -> dict[str, bool]:
    """Names, and whether each may settle conflicts: the adjudicators, or everybody where there are none."""
    query = select(reviewers.c.name, reviewers.c.adjudicates).where(reviewers.c.run == run)
    named = {row.name: row.adjudicates for row in connection.execute(query.order_by(reviewers.c.name))}
    return named if any(named.values()) else dict.fromkeys(named, True)
