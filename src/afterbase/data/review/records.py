"""What the review store hands out: drafts, votes, and how far people are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from afterbase.data.review.recorded_decisions import Outcome

if TYPE_CHECKING:
    from sqlalchemy import Row

OPEN, CONFLICT, DONE = "open", "conflict", "done"
"""States of a draft: to review, to settle, decided."""


class Refused(Exception):  # noqa: N818  # what the rules say no to, shown to the reviewer as it is
    """A verdict that may not be given, with the reason for people."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One person's verdict that stands; `settles` if it is an adjudicator's."""

    reviewer: str
    outcome: Outcome
    reason: str
    edited: str | None
    settles: bool
    seconds: float
    given: float
    diff: str | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """A draft as people see it: the conversation, and never what a program thought of it."""

    id: int
    sample: str
    messages: list[dict[str, str]]
    version: int
    state: str
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReviewProgress:
    """How far a domain is. `missing` says in words what is left; empty: the run may go on."""

    drafts: int
    reviewed: int
    decided: int
    conflicts: int
    twice: int
    missing: tuple[str, ...]
    closed: bool


@dataclass(frozen=True, kw_only=True)
class ReviewRate:
    """One person's part: verdicts given, drafts that are left for them, and the median seconds of a verdict."""

    given: int
    left: int
    seconds: float | None


def said(vote: Vote) -> tuple[Outcome, str | None]:
    """What must be equal for two people to agree: reasons of a rejection may differ, edited texts may not."""
    return vote.outcome, vote.edited


def vote_of(row: "Row") -> Vote:
    return Vote(
        reviewer=row.reviewer,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        edited=None if row.edited is None else json.loads(row.edited),
        diff=None if row.diff is None else json.loads(row.diff),
        settles=row.settles,
        seconds=row.seconds,
        given=row.given,
    )


def item_of(row: "Row", votes: Sequence[Vote] = ()) -> Item:
    return Item(
        id=row.id,
        sample=row.sample,
        messages=json.loads(row.messages),
        version=row.version,
        state=row.state,
        votes=tuple(votes),
    )
