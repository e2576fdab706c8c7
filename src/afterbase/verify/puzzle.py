r"""Puzzles of reasoning-gym, scored by the dataset's own scorer in a killable child process.

The answer is what stands in the last `\boxed{...}`, or where the problem says else.
Right is a score of 1 and nothing less. Many scorers give partial credit (knights and knaves: 0.65 for one role of
two), which a policy earns by guessing: under RL a half-right guess would be preferred to an honest failure.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from afterbase.core.sample import Status, Verdict
from afterbase.verify.child import Child
from afterbase.verify.extract import Way, extract
from afterbase.verify.workers import workers

VERIFIER = "reasoning_gym"
_SECONDS = 5.0


class Reason(StrEnum):
    """Why an answer is right or wrong, or why nobody can tell (the last)."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NO_BOX = "no_box"
    TIMEOUT = "timeout"
    VERIFIER_ERROR = "verifier_error"


_STATUS = {Reason.MATCH: Status.OK, Reason.VERIFIER_ERROR: Status.FAILED}


class Item(NamedTuple):
    """A response, the data set of reasoning-gym, its entry (question, answer, metadata), and where the answer is."""

    response: str
    dataset: str
    entry: dict[str, Any]
    answer_by: Sequence[Way] = ("box",)


def check_puzzle(*, response: str, dataset: str, entry: dict[str, Any], answer_by: Sequence[Way] = ("box",)) -> Verdict:
    """Whether the scorer of `dataset` gives the answer to `entry` full marks; see `check_puzzle_many`."""
    return check_puzzle_many([Item(response, dataset, entry, answer_by)])[0]


def check_puzzle_many(items: Sequence[Item]) -> list[Verdict]:
    """One verdict an item, value 1 or 0, several at a time."""
    return [
        Verdict(
            verifier=VERIFIER,
            status=_STATUS.get(reason, Status.WRONG),
            value=float(reason is Reason.MATCH),
            reason=str(reason),
        )
        for reason in workers("puzzle").each(_reason, items)
    ]


def _reason(child: Child, item: Item) -> Reason:
    answer = extract(item.response, item.answer_by)
    if answer is None:
        return Reason.NO_BOX
    question = {"kind": "score", "dataset": item.dataset, "entry": item.entry, "answer": answer}
    try:
        scored = child.ask(question, seconds=_SECONDS)
        if "error" in scored:
            # Many scorers raise on malformed answers: it is their fault only if they refuse the right one as well.
            scored = child.ask({**question, "answer": item.entry["answer"]}, seconds=_SECONDS)
            return Reason.VERIFIER_ERROR if "error" in scored else Reason.MISMATCH
    except TimeoutError:
        return Reason.TIMEOUT
    except ChildProcessError:
        return Reason.VERIFIER_ERROR
    return Reason.MATCH if scored["score"] == 1.0 else Reason.MISMATCH
