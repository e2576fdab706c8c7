"""Who reviews a run, and who of them decides conflicts."""

from collections.abc import Iterable

from sqlalchemy import Connection, and_, select

from afterbase.data.review.review_tables import packed, reviewers, settings


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


def withdraw(connection: Connection, run: str, name: str) -> None:
    """Make a person's link and sessions invalid from here on; their next token is another one."""
    key = settings.c.name == _times(run, name)
    before = connection.scalar(select(settings.c.value).where(key))
    if before is None:
        connection.execute(settings.insert().values(name=_times(run, name), value="1"))
    else:
        connection.execute(settings.update().where(key).values(value=str(int(before) + 1)))


def withdrawals(connection: Connection, run: str, names: Iterable[str]) -> dict[str, int]:
    """How often the token of each of these people was withdrawn."""
    keys = {_times(run, name): name for name in names}
    found = connection.execute(select(settings).where(settings.c.name.in_(keys)))
    return {**dict.fromkeys(keys.values(), 0), **{keys[row.name]: int(row.value) for row in found}}


def _times(run: str, name: str) -> str:
    return packed(["withdrawn", run, name])
