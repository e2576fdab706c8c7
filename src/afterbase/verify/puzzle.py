r"""Puzzles of reasoning-gym, scored by the data set's own scorer, in a separate fork for each answer.

The answer is what stands in the last `\boxed{...}`, or where the problem says else.
Right is a score of 1 and nothing less. Many scorers give partial credit (knights and knaves: 0.65 for one role of
two), which a policy earns by guessing: under RL a half-right guess would be preferred to an honest failure.

Some scorers evaluate the answer as Python. What they may evaluate is told in `guarded_eval.py`, and where they run in
`fork_server.py`. A scorer that does not give its entry's own answer full marks can tell nobody that an answer is wrong,
and where it gives them to nonsense the entry's text decides. Where the entry's answer is a number, another number is
wrong whatever the scorer says: one pays for what begins alike (0 for 0.125), one does not read the sign.
"""

import contextlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from afterbase.core.sample import Verdict
from afterbase.sandbox import ForkLimits, ForkServer, Server, Work, fork_pool
from afterbase.verify import third_party_scorers
from afterbase.verify.extract import Way, extract
from afterbase.verify.forked_scores import Reason, scored

VERIFIER = "reasoning_gym"
MOST_CHARACTERS = 100_000
WORK = Work(third_party_scorers.__name__, ("reasoning_gym", "sympy"), kind="puzzle")
_ANSWER = ForkLimits(cpu_seconds=5, wall_seconds=10.0, memory_bytes=2 << 30)
_OWN = ForkLimits(cpu_seconds=60, wall_seconds=120.0, memory_bytes=2 << 30)


_NO_NUMBER = re.compile(r"(?<![a-z])(?:nan|inf(?:inity)?)[ij]?(?![a-z])", re.IGNORECASE)


# Whatever Python's Fraction takes; numbers are told apart from this distance on, since some entries are rounded.
_NUMBER = re.compile(
    r"\s*[-+]?(?=\.?\d)[\d_]*(?:\s*/\s*[-+]?[\d_]+|(?:\.[\d_]*)?(?:e[-+]?(?P<exponent>[\d_]+))?)\s*", re.IGNORECASE
)
_MOST_OF_AN_EXPONENT = 4  # digits
_DISTANCE = Fraction(1, 100)


class _Own(NamedTuple):
    """What the scorer thinks of the entry's own answer: the form that it accepts, and whether it accepts anything."""

    form: int | None
    gullible: bool


class Item(NamedTuple):
    """A response, the data set of reasoning-gym, its entry (question, answer, metadata), and where the answer is."""

    response: str
    dataset: str
    entry: dict[str, Any]
    answer_by: Sequence[Way] = ("box",)


def check_puzzle_many(items: Sequence[Item]) -> list[Verdict]:
    """Whether the data set's scorer gives each answer full marks, value 1 or 0; several are scored at a time."""
    answers = [extract(item.response, item.answer_by) for item in items]
    reasons = [_at_once(answer) for answer in answers]
    asked: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))  # by data set and by entry
    for place, item in enumerate(items):
        if reasons[place] is None:
            asked[item.dataset][json.dumps(item.entry)].append(place)
    pool = fork_pool(WORK)
    shares = [
        list(itertools.chain(*list(entries.values())[start :: pool.count]))
        for entries in asked.values()
        for start in range(min(pool.count, len(entries)))
    ]
    judged = pool.each(lambda server, share: _judged(server, [(items[i], answers[i] or "") for i in share]), shares)
    for place, reason in zip(itertools.chain(*shares), itertools.chain(*judged), strict=True):
        reasons[place] = reason
    return [(reason or Reason.VERIFIER_ERROR).verdict(VERIFIER) for reason in reasons]


def _at_once(answer: str | None) -> Reason | None:
    if answer is None:
        return Reason.NO_BOX
    return Reason.TOO_LONG if len(answer) > MOST_CHARACTERS else None


def _judged(server: ForkServer, asked: Sequence[tuple[Item, str]]) -> list[Reason]:
    """The reason of each answer to entries of one data set; those of an entry stand together."""
    out: list[Reason] = []
    entry, own = None, _Own(None, False)
    for _ in range(2):  # a server that dies is replaced, and what it left is tried once more
        with (
            contextlib.suppress(ChildProcessError),
            server.serving() as forks,
            forks.holding({"kind": "dataset", "dataset": asked[0][0].dataset}, _OWN) as holder,
        ):
            if holder.told.fault is None and b"error" not in holder.told.report:
                for item, answer in asked[len(out) :]:
                    if item.entry != entry:
                        entry, own = item.entry, _own(holder, item.entry)
                    out.append(_reason(holder, item.entry, answer, own))
        if len(out) == len(asked):
            break
    return [*out, *[Reason.VERIFIER_ERROR] * (len(asked) - len(out))]


def _own(holder: Server, entry: dict[str, Any]) -> _Own:
    ended = holder.run({"kind": "form", "entry": entry}, _OWN)
    told = {} if ended.fault is not None else json.loads(ended.report)
    return _Own(told["form"] if told.get("form", -1) >= 0 else None, told.get("gullible", False))


def _reason(holder: Server, entry: dict[str, Any], answer: str, own: _Own) -> Reason:
    gold = str(entry["answer"])
    if own.gullible:  # then nobody but the entry can tell
        if entry["answer"] is None:
            return Reason.VERIFIER_ERROR
        return Reason.MATCH if _plain(answer) == _plain(gold) else Reason.MISMATCH
    if _NO_NUMBER.search(answer) and not _NO_NUMBER.search(gold):
        return Reason.MISMATCH  # no distance from it is too large for a scorer: nan > 0.1 is false
    if _is_another_number(answer.replace(",", ""), gold.replace(",", "")):
        return Reason.MISMATCH
    question = {"kind": "score", "entry": entry, "answer": answer, "form": own.form or 0}
    told, unknown = scored(holder, question, _ANSWER)
    if unknown is not None:
        return unknown
    if told.get("score") == 1.0:  # many scorers raise on malformed answers
        return Reason.MATCH
    return Reason.MISMATCH if own.form is not None else Reason.VERIFIER_ERROR


def _is_another_number(answer: str, gold: str) -> bool:
    said, right = _NUMBER.fullmatch(answer), _NUMBER.fullmatch(gold)
    if said is None or right is None:
        return False
    if len(said["exponent"] or "") > _MOST_OF_AN_EXPONENT:
        return True
    try:
        return abs(Fraction(answer) - Fraction(gold)) > abs(Fraction(gold)) * _DISTANCE
    except (ValueError, ZeroDivisionError):  # 1__0, 1/0, more digits than Python reads
        return True


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
