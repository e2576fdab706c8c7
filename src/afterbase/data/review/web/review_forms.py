"""The fields of the app's forms, each checked before it is used."""

from starlette.exceptions import HTTPException

from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.records import OPEN, Item, Refused
from afterbase.data.review.review_policy import Review
from afterbase.data.review.review_queue import LONGEST


def decision(fields: dict[str, str], policy: Review, item: Item) -> tuple[Outcome, str, str | None]:
    """Outcome, reason and edited text of a form; HTTPException where they are none."""
    try:
        outcome = Outcome(fields.get("outcome", ""))
    except ValueError:
        raise HTTPException(400, "A verdict is to accept, to reject or to edit.") from None
    reason = fields.get("reason", "")
    if outcome is Outcome.ACCEPT:
        return outcome, "good", None
    if outcome is Outcome.REJECT:
        if reason not in policy.reasons:
            raise HTTPException(400, "A rejection has one of the reasons on the page.")
        return outcome, reason, None
    if reason not in ("", *policy.reasons):
        raise HTTPException(400, "An edit has one of the reasons on the page, or none.")
    edited = _lines(fields.get("edited", ""))
    if not edited.strip() or len(edited) > LONGEST:
        raise Refused(f"An edited text has 1 to {LONGEST:,} characters.")
    if edited == _lines(item.messages[-1]["content"]):
        raise Refused("This edit changes nothing: accept the draft instead.")
    return outcome, reason or "edited", edited


def settlement(fields: dict[str, str], policy: Review, item: Item) -> tuple[Outcome, str, str | None]:
    """As a decision, or one of the votes by its number."""
    if item.state == OPEN:  # before anything that would tell how many votes there are
        raise Refused("This conflict has changed since you saw it: look again.")
    if "take" not in fields:
        return decision(fields, policy, item)
    votes, at = [vote for vote in item.votes if not vote.settles], number(fields, "take")
    if not 0 <= at < len(votes):
        raise HTTPException(400, "There is no such verdict to take.")
    return votes[at].outcome, votes[at].reason, votes[at].edited


def number(fields: dict[str, str], name: str) -> int:
    """A field that holds a whole number; HTTPException where it does not."""
    value = fields.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise HTTPException(400, f"`{name}` is a number.")
    return int(value)


def _lines(text: str) -> str:
    """The text as it comes back from a form, where each of three line ends has become one."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
