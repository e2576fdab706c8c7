"""The review's records: what is shown to whom, what each person decided, and which drafts are done.

Every change begins by counting up its domain's row, which makes other writers wait for the commit, in SQLite and in
PostgreSQL alike: of two people who want the same draft one comes second, sees what the first did, and is refused
where there is nothing left to decide. `version` is the item's; a person who decides a conflict says which one they saw.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, Row, and_, select
from sqlalchemy.exc import IntegrityError

from afterbase.core.errors import UserError
from afterbase.data.review.agreement import Unit
from afterbase.data.review.claims import claim, next_for, release
from afterbase.data.review.people import enlist, people_of, withdraw, withdrawals
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import CONFLICT, OPEN, Item, Refused, ReviewProgress, ReviewRate, Vote, item_of
from afterbase.data.review.replace_queue import replace_queue
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_progress import policy_of, progress_of, review_of, review_rate_of
from afterbase.data.review.review_queue import Place
from afterbase.data.review.review_tables import connect, items, reviews, skips, sqlite_url, verdicts
from afterbase.data.review.review_votes import (
    count,
    items_where,
    knows_conflict,
    last_of,
    note_conflicts_seen,
    record,
    units_of,
    votes_on,
)

_LONGEST_PAUSE = 15 * 60.0  # seconds; more between two verdicts is a pause, not work


@dataclass(frozen=True)
class ReviewStore:
    """The reviews of one run."""

    engine: Engine
    run: str
    clock: Callable[[], float] = time.time

    # --- what the run does --------------------------------------------------------------------------------------

    def replace_queue(
        self, domain: str, places: Sequence[Place], policy: Review, *, drafts: int, guideline: str
    ) -> None:
        """Put a domain's queue in place; verdicts given earlier stay with their drafts, the same queue is left."""
        for last in (False, True):
            try:
                with self.engine.begin() as connection:
                    replace_queue(connection, self.run, domain, places, policy, drafts=drafts, guideline=guideline)
                return
            except IntegrityError:  # another process put the first row in just now
                if last:
                    raise

    def close(self, domain: str) -> tuple[ReviewProgress, list[Item]]:
        """Every decided draft with its votes; if nothing is missing, the domain takes no more verdicts from here on."""
        with self._changing(domain, closed_too=True) as connection:
            progress = progress_of(connection, self.run, domain)
            if not progress.missing and not progress.closed:
                key = and_(reviews.c.run == self.run, reviews.c.domain == domain)
                connection.execute(reviews.update().where(key).values(closed=self.clock()))
            return progress, items_where(connection, self.run, domain, items.c.given > 0)

    # --- who reviews --------------------------------------------------------------------------------------------

    def add_reviewer(self, name: str, *, adjudicates: bool) -> None:
        """Make a person known to this run, or change what they may do."""
        with self.engine.begin() as connection:
            enlist(connection, self.run, name, adjudicates=adjudicates)

    def reviewers(self) -> dict[str, bool]:
        """Names, and whether each may settle conflicts: the adjudicators, or everybody where there are none."""
        with self.engine.connect() as connection:
            return people_of(connection, self.run)

    def withdraw(self, name: str) -> None:
        """Make the link and the sessions of a person invalid; UserError where nobody of that name reviews."""
        with self.engine.begin() as connection:
            people = people_of(connection, self.run)
            if name not in people:
                raise UserError(
                    "a link is withdrawn from somebody who reviews this run",
                    got=f"`{name}`",
                    remedy=f"name one of {', '.join(people)}" if people else "start `afterbase review` first",
                )
            withdraw(connection, self.run, name)

    def withdrawals(self) -> dict[str, int]:
        """Everybody who reviews, and how often their token was withdrawn."""
        with self.engine.connect() as connection:
            return withdrawals(connection, self.run, people_of(connection, self.run))

    # --- what people do -----------------------------------------------------------------------------------------

    def next_item(self, domain: str, reviewer: str) -> Item | None:
        """The draft for this person to review now; the same one until they decide. None: nothing is left for them."""
        with self._changing(domain, closed_too=True) as connection:
            if review_of(connection, self.run, domain).closed is not None:
                return None
            row = next_for(connection, self.run, domain, reviewer, self.clock())
            if row is None:
                return None
            claim(connection, self.run, domain, reviewer, row.id, self.clock())
            return item_of(row)

    def give(
        self, item: int, reviewer: str, outcome: Outcome, *, reason: str, edited: str | None = None
    ) -> None:  # fmt: skip
        """One person's verdict on a draft. The very same one again changes nothing; any other is Refused."""
        with self._changing_item(item) as (connection, row):
            mine = next((v for v in votes_on(connection, item) if v.reviewer == reviewer and not v.settles), None)
            if mine is not None:
                if (mine.outcome, mine.reason, mine.edited) == (outcome, reason, edited):
                    return  # a form sent twice
                raise Refused("You have decided this draft already: undo that first.")
            if row.state != OPEN:
                raise Refused("Somebody else decided this draft in the meantime: your verdict was not needed.")
            self._record(connection, row, reviewer, outcome, reason, edited, settles=False)

    def settle(
        self, item: int, reviewer: str, outcome: Outcome, *, reason: str, version: int, edited: str | None = None
    ) -> None:  # fmt: skip
        """An adjudicator's verdict on a conflict that they saw as `version`; Refused where that has changed."""
        with self._changing_item(item) as (connection, row):
            settled = [v for v in votes_on(connection, item) if v.settles]
            if settled:
                last = settled[-1]
                if (last.reviewer, last.outcome, last.reason, last.edited) == (reviewer, outcome, reason, edited):
                    return
                raise Refused(f"{last.reviewer} has settled this conflict already.")
            if row.state != CONFLICT or row.version != version:
                raise Refused("This conflict has changed since you saw it: look again.")
            if not people_of(connection, self.run).get(reviewer, False):
                raise Refused("Conflicts of this run are settled by its adjudicators.")
            self._record(connection, row, reviewer, outcome, reason, edited, settles=True)

    def skip(self, item: int, reviewer: str) -> None:
        """Leave a draft to others; it comes back to this person after everything else."""
        with self._changing_item(item) as (connection, row):
            key = and_(skips.c.item == item, skips.c.reviewer == reviewer)
            if connection.execute(skips.update().where(key).values(at=self.clock())).rowcount == 0:
                connection.execute(skips.insert().values(item=item, reviewer=reviewer, at=self.clock()))
            release(connection, self.run, row.domain, reviewer, item)

    def undo(self, domain: str, reviewer: str, verdict: int, *, settles: bool = False) -> None:
        """Take this person's last verdict in a domain back, and show them that draft again; else Refused.

        With `settles`, their last one as an adjudicator. `verdict` is the one that they saw as their last: sent twice,
        it is undone once.
        """
        with self._changing(domain) as connection:
            last = last_of(connection, self.run, domain, reviewer, settles=settles)
            if last is None or last.id < verdict:
                return  # undone already
            if last.id != verdict:
                raise Refused("You have decided another draft since: load the page again.")
            if not settles and any(vote.settles for vote in votes_on(connection, last.item)):
                raise Refused("Your last verdict was part of a conflict that has been settled: it stands.")
            if not settles and knows_conflict(connection, last.item, reviewer):
                raise Refused("You know that somebody decided this draft differently: your verdict stands.")
            connection.execute(verdicts.update().where(verdicts.c.id == verdict).values(undone=self.clock()))
            count(connection, last.item)
            if not settles:
                claim(connection, self.run, domain, reviewer, last.item, self.clock())

    def note_conflicts_seen(self, domain: str, reviewer: str) -> None:
        """To call once a page has read how many conflicts there are, or one of them, and before a person sees it.

        From then on that person stands by what they said of them.
        """
        with self._changing(domain, closed_too=True) as connection:
            note_conflicts_seen(connection, self.run, domain, reviewer)

    # --- what there is to see -----------------------------------------------------------------------------------

    def domains(self) -> dict[str, Review]:
        """The domains under review and the policy of each."""
        with self.engine.connect() as connection:
            query = select(reviews).where(reviews.c.run == self.run).order_by(reviews.c.domain)
            return {row.domain: policy_of(row) for row in connection.execute(query)}

    def guideline(self, domain: str) -> str:
        """The Markdown text that a domain's reviewers go by."""
        with self.engine.connect() as connection:
            return json.loads(review_of(connection, self.run, domain).guideline)

    def progress(self, domain: str) -> ReviewProgress:
        """How far a domain is."""
        with self.engine.connect() as connection:
            return progress_of(connection, self.run, domain)

    def pace(self, domain: str, reviewer: str) -> ReviewRate:
        """How far one person is in a domain."""
        with self.engine.connect() as connection:
            return review_rate_of(connection, self.run, domain, reviewer, self.clock())

    def item(self, domain: str, id: int) -> Item:
        """One draft with its votes, whoever may see them; Refused where there is none."""
        with self.engine.connect() as connection:
            mine = and_(items.c.run == self.run, items.c.domain == domain)
            row = connection.execute(select(items).where(items.c.id == id, mine)).one_or_none()
            if row is None:
                raise Refused("There is no such draft here.")
            return item_of(row, votes_on(connection, id))

    def last(self, domain: str, reviewer: str, *, settles: bool = False) -> int | None:
        """The verdict that an undo would take back."""
        with self.engine.connect() as connection:
            found = last_of(connection, self.run, domain, reviewer, settles=settles)
        return None if found is None else found.id

    def conflict(self, domain: str) -> Item | None:
        """The first draft that two people decided differently, with their votes."""
        with self.engine.connect() as connection:
            found = items_where(connection, self.run, domain, items.c.state == CONFLICT, first=True)
        return found[0] if found else None

    def units(self, domain: str) -> list[Unit]:
        """The outcomes of each draft that somebody reviewed, by reviewer; what adjudicators said is no rating."""
        with self.engine.connect() as connection:
            return units_of(connection, self.run, domain)

    # --- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, domain: str, *, closed_too: bool = False) -> Iterator[Connection]:
        """A transaction that no other change of the domain runs beside; Refused where the domain is closed."""
        key = and_(reviews.c.run == self.run, reviews.c.domain == domain)
        with self.engine.begin() as connection:
            connection.execute(reviews.update().where(key).values(changes=reviews.c.changes + 1))
            if review_of(connection, self.run, domain).closed is not None and not closed_too:
                raise Refused("The run has gone on with these drafts: their review is closed.")
            yield connection

    @contextmanager
    def _changing_item(self, item: int) -> Iterator[tuple[Connection, Row]]:
        with self.engine.connect() as connection:
            domain = connection.scalar(select(items.c.domain).where(items.c.id == item, items.c.run == self.run))
        if domain is None:
            raise Refused("There is no such draft in this run.")
        with self._changing(domain) as connection:
            row = connection.execute(select(items).where(items.c.id == item)).one()
            if row.position is None:
                raise Refused("This draft is no longer in the queue.")
            yield connection, row

    def _record(
        self, connection: Connection, row: Row, reviewer: str, outcome: Outcome, reason: str, edited: str | None,
        *, settles: bool,
    ) -> None:  # fmt: skip
        now = self.clock()
        shown = release(connection, self.run, row.domain, reviewer, row.id)
        seconds = min(_LONGEST_PAUSE, max(0.0, now - (now if shown is None else shown)))
        vote = Vote(
            reviewer=reviewer,
            outcome=outcome,
            reason=reason,
            edited=edited,
            settles=settles,
            seconds=seconds,
            given=now,
        )
        record(connection, row, vote)


def open_reviews(folder: Path, run: str, database: str | None) -> ReviewStore:
    """The reviews of a run, in its own SQLite file or in the database at a URL."""
    return ReviewStore(connect(database or sqlite_url(folder / "review.sqlite")), run)
