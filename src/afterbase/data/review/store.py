"""The review's records: what is shown to whom, what each person decided, and what is settled.

Every change begins by counting up its domain's row, which makes other writers wait for the commit, in SQLite and in
PostgreSQL alike: of two people who want the same draft one comes second, sees what the first did, and is refused
where there is nothing left to decide. `version` is the item's; whoever settles a conflict says which one they saw.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, Row, and_, exists, func, select
from sqlalchemy.exc import IntegrityError

from afterbase.core.config import what
from afterbase.data.review.agreement import Unit, alpha
from afterbase.data.review.changes import difference
from afterbase.data.review.decisions import Outcome
from afterbase.data.review.policy import Review, shortfall
from afterbase.data.review.queue import Place, fingerprint
from afterbase.data.review.records import Item, Pace, Standing, Vote, item_of, said, vote_of
from afterbase.data.review.tables import claims, connect, items, packed, reviewers, reviews, skips, sqlite_url, verdicts

OPEN, CONFLICT, DONE = "open", "conflict", "done"
_CLAIM_SECONDS = 30 * 60  # after that a draft on somebody's screen is offered to others
_PACE_VERDICTS = 30  # the last ones, of which the median pace is shown
_LONGEST_PAUSE = 15 * 60.0  # seconds; more between two verdicts is a pause, not work


class Refused(Exception):  # noqa: N818  # what the rules say no to, shown to the reviewer as it is
    """A verdict that may not be given, with the reason for people."""


@dataclass(frozen=True)
class ReviewStore:
    """The reviews of one run."""

    engine: Engine
    run: str
    clock: Callable[[], float] = time.time

    # --- what the run does --------------------------------------------------------------------------------------

    def enrol(self, domain: str, places: Sequence[Place], policy: Review, *, drafts: int, guideline: str) -> None:
        """Put a domain's queue in place; verdicts given earlier stay with their drafts, the same queue is left."""
        try:
            self._enrol(domain, places, policy, drafts, guideline)
        except IntegrityError:  # another process put the first row in just now
            self._enrol(domain, places, policy, drafts, guideline)

    def close(self, domain: str) -> tuple[Standing, list[Item]]:
        """Every decided draft with its votes; if nothing is missing, the domain takes no more verdicts from here on."""
        with self._changing(domain, closed_too=True) as connection:
            standing = self._standing(connection, domain)
            if not standing.missing and not standing.closed:
                key = and_(reviews.c.run == self.run, reviews.c.domain == domain)
                connection.execute(reviews.update().where(key).values(closed=self.clock()))
            return standing, self._items(connection, domain, items.c.given > 0)

    # --- who reviews --------------------------------------------------------------------------------------------

    def add_reviewer(self, name: str, *, adjudicates: bool) -> None:
        """Make a person known to this run, or change what they may do."""
        key = and_(reviewers.c.run == self.run, reviewers.c.name == name)
        with self.engine.begin() as connection:
            if connection.execute(reviewers.update().where(key).values(adjudicates=adjudicates)).rowcount == 0:
                connection.execute(reviewers.insert().values(run=self.run, name=name, adjudicates=adjudicates))

    def reviewers(self) -> dict[str, bool]:
        """Names, and whether each may settle conflicts: the adjudicators, or everybody where there are none."""
        with self.engine.connect() as connection:
            return self._reviewers(connection)

    # --- what people do -----------------------------------------------------------------------------------------

    def next_item(self, domain: str, reviewer: str) -> Item | None:
        """The draft for this person to review now; the same one until they decide. None: nothing is left for them."""
        with self._changing(domain, closed_too=True) as connection:
            if self._review(connection, domain).closed is not None:
                return None
            row = self._held(connection, domain, reviewer) or self._waiting(connection, domain, reviewer)
            if row is None:
                return None
            self._claim(connection, domain, reviewer, row.id)
            return item_of(row)

    def give(
        self, item: int, reviewer: str, outcome: Outcome, *, reason: str, edited: str | None = None
    ) -> None:  # fmt: skip
        """One person's verdict on a draft. The very same one again changes nothing; any other is Refused."""
        with self._changing_item(item) as (connection, row):
            mine = next((v for v in self._votes(connection, item) if v.reviewer == reviewer and not v.settles), None)
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
            settled = [v for v in self._votes(connection, item) if v.settles]
            if settled:
                last = settled[-1]
                if (last.reviewer, last.outcome, last.reason, last.edited) == (reviewer, outcome, reason, edited):
                    return
                raise Refused(f"{last.reviewer} has settled this conflict already.")
            if row.state != CONFLICT or row.version != version:
                raise Refused("This conflict has changed since you saw it: look again.")
            if not self._reviewers(connection).get(reviewer, False):
                raise Refused("Conflicts of this run are settled by its adjudicators.")
            self._record(connection, row, reviewer, outcome, reason, edited, settles=True)

    def skip(self, item: int, reviewer: str) -> None:
        """Leave a draft to others; it comes back to this person after everything else."""
        with self._changing_item(item) as (connection, row):
            key = and_(skips.c.item == item, skips.c.reviewer == reviewer)
            if connection.execute(skips.update().where(key).values(at=self.clock())).rowcount == 0:
                connection.execute(skips.insert().values(item=item, reviewer=reviewer, at=self.clock()))
            self._release(connection, row.domain, reviewer)

    def undo(self, domain: str, reviewer: str, *, settles: bool = False) -> None:
        """Take this person's last verdict in a domain back, and show them that draft again; else Refused.

        With `settles`, their last one as an adjudicator.
        """
        with self._changing(domain) as connection:
            query = (
                select(verdicts.c.id, verdicts.c.item, items.c.position)
                .join(items, items.c.id == verdicts.c.item)
                .where(items.c.run == self.run, items.c.domain == domain)
                .where(verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None), verdicts.c.settles == settles)
                .order_by(verdicts.c.id.desc())
            )
            last = connection.execute(query.limit(1)).one_or_none()
            if last is None:
                raise Refused("There is no verdict of yours to undo.")
            if not settles and any(vote.settles for vote in self._votes(connection, last.item)):
                raise Refused("Your last verdict was part of a conflict that has been settled: it stands.")
            key = verdicts.c.id == last.id
            connection.execute(verdicts.update().where(key).values(undone=self.clock()))
            self._settle(connection, last.item)
            if not settles and last.position is not None:
                self._claim(connection, domain, reviewer, last.item)

    # --- what there is to see -----------------------------------------------------------------------------------

    def domains(self) -> dict[str, Review]:
        """The domains under review and the policy of each."""
        with self.engine.connect() as connection:
            query = select(reviews).where(reviews.c.run == self.run).order_by(reviews.c.domain)
            return {row.domain: _policy(row) for row in connection.execute(query)}

    def guideline(self, domain: str) -> str:
        """The Markdown text that a domain's reviewers go by."""
        with self.engine.connect() as connection:
            return json.loads(self._review(connection, domain).guideline)

    def standing(self, domain: str) -> Standing:
        """How far a domain is."""
        with self.engine.connect() as connection:
            return self._standing(connection, domain)

    def pace(self, domain: str, reviewer: str) -> Pace:
        """How far one person is in a domain."""
        with self.engine.connect() as connection:
            mine = (
                select(verdicts.c.seconds)
                .join(items, items.c.id == verdicts.c.item)
                .where(items.c.run == self.run, items.c.domain == domain, ~verdicts.c.settles)
                .where(verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None))
            )
            given = connection.scalar(select(func.count()).select_from(mine.subquery())) or 0
            last = sorted(connection.scalars(mine.order_by(verdicts.c.id.desc()).limit(_PACE_VERDICTS)))
            left = connection.scalar(select(func.count()).where(*self._for(domain, reviewer))) or 0
        return Pace(given=given, left=left, seconds=last[len(last) // 2] if last else None)

    def item(self, domain: str, id: int) -> Item:
        """One draft with its votes, whoever may see them; Refused where there is none."""
        with self.engine.connect() as connection:
            mine = and_(items.c.run == self.run, items.c.domain == domain)
            row = connection.execute(select(items).where(items.c.id == id, mine)).one_or_none()
            if row is None:
                raise Refused("There is no such draft here.")
            return item_of(row, self._votes(connection, id))

    def conflict(self, domain: str) -> Item | None:
        """The first draft that two people decided differently, with their votes."""
        with self.engine.connect() as connection:
            found = self._items(connection, domain, items.c.state == CONFLICT, first=True)
        return found[0] if found else None

    def units(self, domain: str) -> list[Unit]:
        """The outcomes of each draft that somebody reviewed, by reviewer; what adjudicators said is no rating."""
        with self.engine.connect() as connection:
            return self._units(connection, domain)

    # --- inside a transaction -----------------------------------------------------------------------------------

    def _enrol(self, domain: str, places: Sequence[Place], policy: Review, drafts: int, guideline: str) -> None:
        word = fingerprint(places)
        key = and_(reviews.c.run == self.run, reviews.c.domain == domain)
        with self.engine.begin() as connection:
            changed = connection.execute(reviews.update().where(key).values(changes=reviews.c.changes + 1))
            fresh = {
                "policy": policy.model_dump_json(),
                "guideline": packed(guideline),
                "drafts": drafts,
                "fingerprint": word,
            }
            if changed.rowcount == 0:
                connection.execute(reviews.insert().values(run=self.run, domain=domain, changes=0, **fresh))
            else:
                before = connection.execute(select(reviews).where(key)).one()
                same = before.fingerprint == word and what(_policy(before)) == what(policy)
                connection.execute(reviews.update().where(key).values(**fresh, closed=before.closed if same else None))
                if same:
                    return
            mine = and_(items.c.run == self.run, items.c.domain == domain)
            connection.execute(items.update().where(mine).values(position=None))
            known = {sample: id for id, sample in connection.execute(select(items.c.id, items.c.sample).where(mine))}
            new = []
            for position, place in enumerate(places):
                values = {"position": position, "needed": 2 if place.twice else 1}
                if place.sample.id in known:
                    connection.execute(items.update().where(items.c.id == known[place.sample.id]).values(**values))
                    self._settle(connection, known[place.sample.id])
                else:
                    new.append({**values, "sample": place.sample.id, "messages": packed(list(place.sample.messages))})
            begin = {"run": self.run, "domain": domain, "given": 0, "state": OPEN, "version": 0}
            if new:
                connection.execute(items.insert(), [{**begin, **row} for row in new])

    @contextmanager
    def _changing(self, domain: str, *, closed_too: bool = False) -> Iterator[Connection]:
        """A transaction that no other change of the domain runs beside; Refused where the domain is closed."""
        key = and_(reviews.c.run == self.run, reviews.c.domain == domain)
        with self.engine.begin() as connection:
            connection.execute(reviews.update().where(key).values(changes=reviews.c.changes + 1))
            if self._review(connection, domain).closed is not None and not closed_too:
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

    def _reviewers(self, connection: Connection) -> dict[str, bool]:
        query = select(reviewers.c.name, reviewers.c.adjudicates).where(reviewers.c.run == self.run)
        named = {row.name: row.adjudicates for row in connection.execute(query.order_by(reviewers.c.name))}
        return named if any(named.values()) else dict.fromkeys(named, True)

    def _review(self, connection: Connection, domain: str) -> Row:
        key = and_(reviews.c.run == self.run, reviews.c.domain == domain)
        row = connection.execute(select(reviews).where(key)).one_or_none()
        if row is None:
            raise Refused("There is no such domain in this run.")
        return row

    def _for(self, domain: str, reviewer: str):
        """What makes an item one for this person: open, not decided by them, not held by others."""
        decided = exists().where(
            verdicts.c.item == items.c.id, verdicts.c.reviewer == reviewer, verdicts.c.undone.is_(None)
        )
        others = claims.alias()
        held = (
            select(func.count())
            .select_from(others)
            .where(others.c.item == items.c.id, others.c.reviewer != reviewer)
            .where(others.c.shown > self.clock() - _CLAIM_SECONDS)
            .correlate(items)
            .scalar_subquery()
        )
        return (
            items.c.run == self.run,
            items.c.domain == domain,
            items.c.state == OPEN,
            items.c.position.is_not(None),
            items.c.given + held < items.c.needed,
            ~decided,
        )

    def _held(self, connection: Connection, domain: str, reviewer: str) -> Row | None:
        """What is on the person's screen, if it still is for them."""
        claim = and_(claims.c.run == self.run, claims.c.domain == domain, claims.c.reviewer == reviewer)
        query = select(items).join(claims, and_(claim, claims.c.item == items.c.id))
        return connection.execute(query.where(*self._for(domain, reviewer))).one_or_none()

    def _waiting(self, connection: Connection, domain: str, reviewer: str) -> Row | None:
        mine = and_(skips.c.item == items.c.id, skips.c.reviewer == reviewer)
        query = select(items).outerjoin(skips, mine).where(*self._for(domain, reviewer))
        first = query.order_by(skips.c.at.is_not(None), skips.c.at, items.c.position).limit(1)
        return connection.execute(first).one_or_none()

    def _claim(self, connection: Connection, domain: str, reviewer: str, item: int) -> None:
        claim = and_(claims.c.run == self.run, claims.c.domain == domain, claims.c.reviewer == reviewer)
        held = connection.execute(select(claims).where(claim)).one_or_none()
        if held is not None and held.item == item and held.shown > self.clock() - _CLAIM_SECONDS:
            return  # a page loaded again does not start its time again
        self._release(connection, domain, reviewer)
        values = {"run": self.run, "domain": domain, "reviewer": reviewer, "item": item, "shown": self.clock()}
        connection.execute(claims.insert().values(**values))

    def _release(self, connection: Connection, domain: str, reviewer: str) -> float | None:
        """Take what they held from a person's screen; when it was shown."""
        claim = and_(claims.c.run == self.run, claims.c.domain == domain, claims.c.reviewer == reviewer)
        shown = connection.scalar(select(claims.c.shown).where(claim))
        connection.execute(claims.delete().where(claim))
        return shown

    def _record(
        self, connection: Connection, row: Row, reviewer: str, outcome: Outcome, reason: str, edited: str | None,
        *, settles: bool,
    ) -> None:  # fmt: skip
        shown = self._release(connection, row.domain, reviewer)
        now = self.clock()
        draft = json.loads(row.messages)[-1]["content"]
        connection.execute(
            verdicts.insert().values(
                item=row.id,
                reviewer=reviewer,
                settles=settles,
                outcome=str(outcome),
                reason=reason,
                edited=None if edited is None else packed(edited),
                diff=None if edited is None else packed(difference(draft, edited)),
                seconds=min(_LONGEST_PAUSE, max(0.0, now - (now if shown is None else shown))),
                given=now,
            )
        )
        self._settle(connection, row.id)

    def _settle(self, connection: Connection, item: int) -> None:
        """Count an item's votes and say what state it is in; every change of them makes another version."""
        votes = self._votes(connection, item)
        needed = connection.scalar(select(items.c.needed).where(items.c.id == item)) or 1
        given = sum(not vote.settles for vote in votes)
        state = OPEN
        if any(vote.settles for vote in votes):
            state = DONE
        elif given >= needed:
            state = DONE if len({said(vote) for vote in votes}) == 1 else CONFLICT
        values = {"given": given, "state": state, "version": items.c.version + 1}
        connection.execute(items.update().where(items.c.id == item).values(**values))

    def _votes(self, connection: Connection, item: int) -> list[Vote]:
        live = and_(verdicts.c.item == item, verdicts.c.undone.is_(None))
        return [vote_of(row) for row in connection.execute(select(verdicts).where(live).order_by(verdicts.c.id))]

    def _items(self, connection: Connection, domain: str, which, *, first: bool = False) -> list[Item]:
        query = select(items).where(items.c.run == self.run, items.c.domain == domain, which)
        query = query.where(items.c.position.is_not(None)).order_by(items.c.position).limit(1 if first else None)
        return [item_of(row, self._votes(connection, row.id)) for row in connection.execute(query).all()]

    def _units(self, connection: Connection, domain: str) -> list[Unit]:
        query = (
            select(verdicts.c.item, verdicts.c.reviewer, verdicts.c.outcome)
            .join(items, items.c.id == verdicts.c.item)
            .where(items.c.run == self.run, items.c.domain == domain, items.c.position.is_not(None))
            .where(~verdicts.c.settles, verdicts.c.undone.is_(None))
            .order_by(verdicts.c.item, verdicts.c.reviewer)
        )
        found: dict[int, dict[str, str]] = {}
        for item, reviewer, outcome in connection.execute(query):
            found.setdefault(item, {})[reviewer] = outcome
        return list(found.values())

    def _standing(self, connection: Connection, domain: str) -> Standing:
        review = self._review(connection, domain)
        policy = _policy(review)
        mine = and_(items.c.run == self.run, items.c.domain == domain, items.c.position.is_not(None))
        counts = dict.fromkeys((OPEN, CONFLICT, DONE), 0)
        twice = 0
        for state, needed, n in connection.execute(
            select(items.c.state, items.c.needed, func.count()).where(mine).group_by(items.c.state, items.c.needed)
        ):
            counts[state] += n
            twice += n * (needed > 1)
        missing = shortfall(
            policy,
            undecided=counts[OPEN],
            conflicts=counts[CONFLICT],
            agreement=lambda: alpha(self._units(connection, domain)),
        )
        return Standing(
            drafts=review.drafts,
            reviewed=sum(counts.values()),
            decided=counts[DONE],
            conflicts=counts[CONFLICT],
            twice=twice,
            missing=tuple(missing),
            closed=review.closed is not None,
        )


def review_folder(root: Path, run: str) -> Path:
    """Where a run keeps its review: `review.json`, and the SQLite file if there is no other database."""
    return root / "runs" / run


def open_reviews(folder: Path, run: str, database: str | None) -> ReviewStore:
    """The reviews of a run, in its own SQLite file or in the database at a URL."""
    return ReviewStore(connect(database or sqlite_url(folder / "review.sqlite")), run)


def _policy(review: Row) -> Review:
    return Review.model_validate_json(review.policy)
