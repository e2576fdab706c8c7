"""From several judgements to one: majority, mean, and the order in which two answers are shown.

Sampled judgements of one model, voted, are the self-rewarding of the V3 report's section 5.4 (maj@k). Abstentions are
left out of a vote and counted; where they are more than half, there is no vote. A tie is reported, never broken.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)
_OTHER = {"A": "B", "B": "A", "tie": "tie"}


@dataclass(frozen=True, kw_only=True)
class Majority(Generic[T]):
    """The outcome of a vote: `winner` is None where it is tied or where too few voted; `share` is of those who did."""

    winner: T | None
    share: float
    voted: int
    abstained: int
    tied: bool


def most_frequent(votes: Sequence[T | None]) -> list[T]:
    """The votes that were given most often, in the order in which they came: several are a tie. None abstains."""
    counts = Counter(vote for vote in votes if vote is not None)
    most = max(counts.values(), default=0)
    return [vote for vote, count in counts.items() if count == most]


def majority(votes: Sequence[T | None]) -> Majority[T]:
    """The vote that was given most often; None abstains."""
    abstained = votes.count(None)
    voted = len(votes) - abstained
    if not quorum(votes):
        return Majority(winner=None, share=0.0, voted=voted, abstained=abstained, tied=False)
    first, *others = most_frequent(votes)
    share, winner = votes.count(first) / voted, None if others else first
    return Majority(winner=winner, share=share, voted=voted, abstained=abstained, tied=bool(others))


def mean(votes: Sequence[float | None]) -> float | None:
    """The mean of the votes that were given; None where too few were."""
    given = [vote for vote in votes if vote is not None]
    return sum(given) / len(given) if quorum(votes) else None


def quorum(votes: Sequence[object | None]) -> bool:
    """Whether at least one has voted, and not more than half abstain."""
    given = sum(vote is not None for vote in votes)
    return given > 0 and 2 * given >= len(votes)


def reversed_order(question: str, answers: tuple[str, str], *, seed: int, index: int) -> bool:
    """Whether the second of two answers is shown first to the `index`-th of several judges.

    By chance for the first, seeded on the pair whichever way round it is given, and in turn from then on, so that an
    even number of judges sees both orders equally often.
    """
    low, high = sorted(answers)
    digest = hashlib.sha256("\0".join([str(seed), question, low, high]).encode("utf-8", "surrogatepass")).digest()
    return bool((digest[0] & 1) ^ (index & 1) ^ (answers[0] > answers[1]))


def as_given(verdict: str, *, was_reversed: bool) -> str:
    """`A`, `B` or `tie` about the answers as they were given, from what was said of them as they were shown."""
    return _OTHER[verdict] if was_reversed else verdict
